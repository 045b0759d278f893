"""`llm-ledger verify` and `llm-ledger rebuild`: the log proven, the projections made anew."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

from llm_ledger.cli.options import Json
from llm_ledger.cli.output import write_json, write_text
from llm_ledger.cli.progress import bar
from llm_ledger.cli.words import counted, plain

if TYPE_CHECKING:
    from ledger.backends import Database

__all__ = ["rebuild", "verify"]


def verify(json: Json = False) -> None:
    """Prove that the log is what was appended and the projections what it amounts to. Exit code 3 if not."""
    from ledger.errors import LedgerCorrupt
    from ledger.verify import verify as check

    with _database() as database, bar("verifying") as progress:
        found = check(database, progress.stand, bodies=True)
    if json:
        document = {"sound": found.sound, "events": found.events, "head": found.head, "problems": found.problems}
        write_json(document)
    else:
        for problem in found.problems:
            write_text(plain(problem))
    if not found.sound:
        raise LedgerCorrupt(f"{counted(len(found.problems), 'contradiction')} in {counted(found.events, 'event')}")
    if not json:
        write_text(f"{counted(found.events, 'event')}, nothing contradicts anything; head {found.head}")


def rebuild(json: Json = False) -> None:
    """Make every projection anew from the log. Writers wait meanwhile."""
    from ledger.rebuild import rebuild as make

    with _database() as database, bar("rebuilding") as progress:
        events = make(database, progress.stand)
    if json:
        write_json({"events": events})
    else:
        write_text(f"projections made anew from {counted(events, 'event')}")


@contextmanager
def _database() -> Iterator[Database]:
    """The database alone: opening it as a ledger could append to what is about to be proven."""
    from ledger.backends import open_database
    from ledger.migrate import ensure_schema
    from ledger.settings import LedgerSettings

    database = open_database(LedgerSettings.from_env().database_url)
    try:
        ensure_schema(database, create=False)
        yield database
    finally:
        database.close()
