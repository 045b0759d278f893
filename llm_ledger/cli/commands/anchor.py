"""`llm-ledger anchor`: where the log ends, to be kept elsewhere."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from llm_ledger.cli.audited import audited
from llm_ledger.cli.options import Json
from llm_ledger.cli.output import write_json, write_text
from llm_ledger.cli.words import plain

__all__ = ["anchor"]


def anchor(
    output: Annotated[
        Path | None,
        typer.Option(
            "--output", "-o", metavar="FILE", help="Add it to this file of anchors, a line each, not to stdout."
        ),
    ] = None,
    json: Json = False,
) -> None:
    """Write down where the log ends. Kept elsewhere, it shows `verify` that the log was cut or rewritten."""
    from ledger.anchors import anchor_head
    from ledger.clock import SystemClock

    file = None if output is None or str(output) == "-" else output
    with audited() as database:
        anchored = anchor_head(database, SystemClock().now(), file)
    if json or file is None:
        write_json(anchored)
    else:
        write_text(plain(f"anchored event {anchored.position:,} in {file}"))
