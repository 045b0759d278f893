"""The projections held against the log: everything folded once more beside them, and compared row by row."""

from __future__ import annotations

import tempfile
from collections.abc import Generator, Iterator
from contextlib import closing, contextmanager
from itertools import zip_longest
from pathlib import Path
from typing import Any

from sqlalchemy import Connection, Table, select

from ledger import schema
from ledger.backends import Database, open_database
from ledger.projections import PROJECTIONS, fold, register
from ledger.replay import Progress, facts_after, head, silent
from ledger.store import CHUNK
from ledger.upcast import check_chain

__all__ = ["differences"]


def differences(database: Database, progress: Progress = silent) -> list[str]:
    """Where the stored projections are not what the log amounts to; empty if they are. One line per table.

    Log and projections are read in one transaction, so that both are of the same moment.
    """
    check_chain()
    with _scratch() as copy, database.read() as log:
        with copy.write() as connection:
            _fold_log(log, copy, connection, progress)
        with copy.read() as connection:
            found = [
                line
                for table in schema.PROJECTION_TABLES
                if (line := _first_difference(table, log, connection)) is not None
            ]
        stored = {name: (version, at) for name, version, at, _ in log.execute(select(schema.projections))}
        at = head(log)
        if stored != {name: (version, at) for name, version in PROJECTIONS.items()}:
            found.append("projections: the checkpoints do not stand at the head of the log; run `llm-ledger rebuild`")
        return found


def _fold_log(log: Connection, target: Database, connection: Connection, progress: Progress) -> None:
    total, done = head(log), 0
    while facts := facts_after(log, done):
        fold(target, connection, facts)
        done = facts[-1].position
        progress(done, total)


@contextmanager
def _scratch() -> Iterator[Database]:
    """An empty set of projection tables outside the ledger, on disk: they may be larger than memory."""
    with tempfile.TemporaryDirectory(prefix="llm-ledger-") as folder:
        database = open_database(f"sqlite:///{Path(folder) / 'projections.db'}")
        try:
            with database.write() as connection:
                schema.metadata.create_all(
                    connection, tables=[*schema.PROJECTION_TABLES, schema.projections], checkfirst=False
                )
                register(database, connection)
            yield database
        finally:
            database.close()


def _first_difference(table: Table, stored: Connection, folded: Connection) -> str | None:
    missing = object()
    with closing(_rows(table, stored)) as here_rows, closing(_rows(table, folded)) as there_rows:
        for here, there in zip_longest(here_rows, there_rows, fillvalue=missing):
            if here != there:
                which = there if here is missing else here
                key = ", ".join(str(value) for value in which[: len(table.primary_key.columns)])  # type: ignore[index]
                what = "is missing" if here is missing else "should not be" if there is missing else "differs"
                return f"{table.name}: row ({key}) {what}; the log says otherwise"
    return None


def _rows(table: Table, connection: Connection) -> Generator[tuple[Any, ...]]:
    query = select(table).order_by(*table.primary_key.columns)
    with connection.execute(query.execution_options(yield_per=CHUNK)) as result:
        for row in result:
            yield tuple(row)
