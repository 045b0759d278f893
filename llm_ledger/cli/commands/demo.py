"""`llm-ledger demo`: the whole loop in one command, without a key."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from llm_ledger.cli.guard import ExitCode

__all__ = ["demo"]


def demo(
    keep: Annotated[
        Path | None, typer.Option("--keep", metavar="DIR", help="Leave the ledger in this folder to look at.")
    ] = None,
) -> ExitCode:
    """The whole loop without a key: 200 real questions, a crash on purpose, the bill and what was saved.

    The exit code is 0 only if everything holds.
    """
    from llm_ledger.demo import run_demo

    return ExitCode.DONE if run_demo(keep) else ExitCode.ABANDONED
