"""Projections made anew from the log, and held against it."""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Generator, Iterator
from contextlib import closing, contextmanager
from itertools import zip_longest
from pathlib import Path
from typing import Any

from sqlalchemy import Connection, Table, delete, select

from ledger import schema
from ledger.backends import Database, open_database
from ledger.projections import PROJECTIONS, fold, register
from ledger.store import CHUNK, as_fact

__all__ = ["Progress", "differences", "rebuild"]

Progress = Callable[[int, int], None]
"""Called with (events done, events in all)."""


def rebuild(database: Database, progress: Progress = lambda _done, _total: None) -> int:
    """Empty every projection and fold the whole log into it, in one transaction. Returns the events folded.

    Appends wait meanwhile. A process that dies here leaves the projections as they were.
    """
    with database.write() as connection:
        for table in (*schema.PROJECTION_TABLES, schema.projections):
            connection.execute(delete(table))
        register(database, connection)
        return _fold_log(connection, database, connection, progress)


def differences(database: Database, progress: Progress = lambda _done, _total: None) -> list[str]:
    """Where the stored projections are not what the log amounts to; empty if they are. One line per table."""
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
        head = log.scalar(select(schema.ledger_head.c.position))
        if stored != {name: (version, head) for name, version in PROJECTIONS.items()}:
            found.append("projections: the checkpoints do not stand at the head of the log; run `llm-ledger rebuild`")
        return found


def _fold_log(log: Connection, target: Database, connection: Connection, progress: Progress) -> int:
    total = int(log.scalar(select(schema.ledger_head.c.position)) or 0)
    column = schema.events.c
    done = 0
    while True:
        query = select(schema.events).where(column.position > done).order_by(column.position).limit(CHUNK)
        rows = log.execute(query).all()
        if not rows:
            return done
        fold(target, connection, [as_fact(row) for row in rows])
        done = int(rows[-1].position)
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
