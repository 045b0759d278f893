"""Which commands there are, in the order in which people meet them."""

from __future__ import annotations

import contextlib
import gc
import os
import sys
from typing import Annotated

import typer

from llm_ledger import __version__
from llm_ledger.cli.commands import (
    anchor,
    audit,
    batches,
    cancel,
    demo,
    events,
    init,
    purge,
    reconcile,
    requests,
    results,
    retry,
    run,
    savings,
    show,
    simulate,
)
from llm_ledger.cli.commands import submit as submission
from llm_ledger.cli.guard import guarded

__all__ = ["app", "main"]

app = typer.Typer(
    name="llm-ledger",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    pretty_exceptions_show_locals=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)

_PANELS = {
    "Work": (init.init, submission.submit, run.run, results.results, cancel.cancel, retry.retry),
    "Look": (requests.requests, batches.batches, events.events, show.show, savings.savings),
    "Audit": (audit.verify, reconcile.reconcile, anchor.anchor, audit.rebuild, purge.purge),
    "Try": (simulate.simulate, demo.demo),
}

for _panel, _commands in _PANELS.items():
    for _command in _commands:
        app.command(_command.__name__, rich_help_panel=_panel)(guarded(_command))


def _print_version(wanted: bool) -> None:
    if wanted:
        typer.echo(f"llm-ledger {__version__}")
        raise typer.Exit


@app.callback()
def _program(
    _version: Annotated[
        bool, typer.Option("--version", callback=_print_version, is_eager=True, help="Print the version and leave.")
    ] = False,
) -> None:
    """A ledger for LLM requests: batches that survive anything, costs exact to the last digit.

    The ledger lives at LLM_LEDGER_DATABASE_URL, by default in ./llm-ledger.db.

    Exit codes: 0 done, 1 requests were abandoned in this run, 2 usage or bad input, 3 configuration or database
    unusable, 4 provider refused or unreachable or the budget reached (nothing is lost), 70 a bug, 130 and 143 stopped
    by a signal. `batches --check` gives 1 if something needs attention.
    """


def main() -> None:
    """The program. Ends by SystemExit."""
    # What is made in great numbers here, rows, events, the SDK's types, forms no cycles: looking for them after
    # every 700 new objects takes a tenth of the time of everything.
    gc.set_threshold(50_000, 20, 20)
    _fill_closed_streams()
    for stream in (sys.stdout, sys.stderr):
        with contextlib.suppress(AttributeError, ValueError):
            # A terminal that cannot spell “→” is no reason to fail.
            stream.reconfigure(errors="backslashreplace")  # type: ignore[union-attr]
    app(prog_name="llm-ledger")


def _fill_closed_streams() -> None:
    """What goes to an output that was closed (`>&-`) goes nowhere. A closed input stays one: it is no empty file."""
    for name in ("stdin", "stdout", "stderr"):
        if getattr(sys, name) is None:
            # The lowest free number is the stream's own; else the next file opened, the ledger, would get it.
            nowhere = os.open(os.devnull, os.O_RDWR)
            if name != "stdin":
                setattr(sys, name, open(nowhere, "w", encoding="utf-8", closefd=False))  # noqa: SIM115 - to the end
