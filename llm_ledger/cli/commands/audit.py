"""`llm-ledger verify` and `llm-ledger rebuild`: the log proven, the projections made anew."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from llm_ledger.cli.audited import audited
from llm_ledger.cli.options import Json
from llm_ledger.cli.output import write_json, write_text
from llm_ledger.cli.progress import bar
from llm_ledger.cli.words import counted, plain

__all__ = ["rebuild", "verify"]


def verify(
    anchor: Annotated[
        list[Path] | None,
        typer.Option("--anchor", metavar="FILE", help="Anchors kept elsewhere, from `anchor`; repeatable."),
    ] = None,
    json: Json = False,
) -> None:
    """Prove that the log is what was appended and the projections what it amounts to. Exit code 3 if not."""
    from ledger.anchors import read_anchors
    from ledger.errors import LedgerCorrupt
    from ledger.verify import verify as check

    anchors = [one for file in anchor or () for one in read_anchors(file)]
    with audited() as database, bar("verifying") as progress:
        found = check(database, progress.stand, bodies=True, anchors=anchors)
    if json:
        figures = {"events": found.events, "head": found.head, "anchors": len(anchors)}
        write_json({"sound": found.sound, **figures, "problems": found.problems})
    else:
        for problem in found.problems:
            write_text(plain(problem))
    if not found.sound:
        raise LedgerCorrupt(f"{counted(len(found.problems), 'contradiction')} in {counted(found.events, 'event')}")
    if not json:
        borne_out = f", {counted(len(anchors), 'anchor')} borne out" if anchors else ""
        write_text(f"{counted(found.events, 'event')}{borne_out}, nothing contradicts anything; head {found.head}")


def rebuild(json: Json = False) -> None:
    """Make every projection anew from the log. Others go on appending and reading meanwhile."""
    from ledger.rebuild import rebuild as make

    with audited() as database, bar("rebuilding") as progress:
        events = make(database, progress.stand)
    if json:
        write_json({"events": events})
    else:
        write_text(f"projections made anew from {counted(events, 'event')}")
