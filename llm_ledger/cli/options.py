"""Options that several commands share, each spelt once."""

from __future__ import annotations

from collections.abc import Callable
from typing import Annotated, Any, TypeVar

import typer

from llm_ledger.cli.words import parse_duration, parse_tag

__all__ = ["GiveUpAfter", "Json", "Key", "Limit", "Tags"]

_Parsed = TypeVar("_Parsed")


def _parser(parse: Callable[[str], _Parsed]) -> Callable[[Any], _Parsed]:
    """`parse` for typer: a ValueError becomes a usage error that says the same."""

    def parsed(text: Any) -> _Parsed:
        try:
            return parse(str(text))
        except ValueError as error:
            raise typer.BadParameter(str(error)) from None

    return parsed


Json = Annotated[bool, typer.Option("--json", help="Write JSON: an object per line for lists, else one document.")]
Key = Annotated[str | None, typer.Option("--key", metavar="NAME", help="Only requests recorded under this key.")]
Limit = Annotated[int | None, typer.Option("--limit", min=0, metavar="N", help="At most the first N.")]
GiveUpAfter = Annotated[
    float | None,
    typer.Option(
        "--give-up-after",
        parser=_parser(parse_duration),
        metavar="DURATION",
        help="Leave with exit code 4 once the provider has failed for so long (90s, 10m, 1h). "
        "With --until-idle 10m unless said otherwise.",
    ),
]
Tags = Annotated[
    list[str] | None,
    typer.Option(
        "--tag",
        parser=_parser(lambda text: "=".join(parse_tag(text))),
        metavar="NAME=VALUE",
        help="A tag for every request that does not set it itself; repeatable.",
    ),
]
