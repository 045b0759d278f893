"""`llm-ledger run`: the scheduler loop, until stopped or until nothing is left to do."""

from __future__ import annotations

from typing import Annotated

import typer

from llm_ledger.cli.guard import ExitCode
from llm_ledger.cli.options import Duration, Json
from llm_ledger.cli.output import write_json

__all__ = ["run"]

GIVE_UP_AFTER = 600.0


def run(
    until_idle: Annotated[
        bool, typer.Option("--until-idle", help="Leave when nothing is left to do, for other processes too.")
    ] = False,
    give_up_after: Annotated[
        Duration,
        typer.Option(
            "--give-up-after",
            help="Leave with exit code 4 when the provider has failed for so long: 90s, 10m, 1h. "
            "With --until-idle 10m unless said otherwise.",
        ),
    ] = None,
    json: Json = False,
) -> None:
    """Batch, submit, poll, collect and retry.

    Ctrl-C and SIGTERM stop after the steps under way; again: at once. Either way nothing is lost.
    """


del GIVE_UP_AFTER, write_json, ExitCode
