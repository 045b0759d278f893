"""`llm-ledger show`: one request or batch, explained."""

from __future__ import annotations

from typing import Annotated

import typer

from llm_ledger.cli.options import Json, Key
from llm_ledger.cli.output import show as show_parts
from llm_ledger.cli.output import write_json

__all__ = ["show"]


def show(
    wanted: Annotated[
        str,
        typer.Argument(
            metavar="ID", help="An id or its beginning, a custom_id, the provider's batch id, or a stream."
        ),
    ],
    key: Key = None,
    json: Json = False,
) -> None:
    """Explain a request or a batch: its events, its usage, its price line by line, against the baseline."""
    from ledger import Ledger
    from llm_ledger.cli.explain import explain

    with Ledger.open() as ledger:
        document = explain(ledger, wanted, key=key)
    if json:
        write_json(document)
    else:
        from llm_ledger.cli.portrait import portrait

        show_parts(*portrait(document))
