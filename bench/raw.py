"""The bare driver: the same rows into a table of the same shape and indexes, as durable, and nothing else."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager
from itertools import islice
from typing import Any, Final

from sqlalchemy import BigInteger, Integer, LargeBinary, SmallInteger, make_url, select
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.schema import CreateTable

from bench.crowd import together
from bench.tasks import APPENDERS, Bulk, Commits, Paces, settled, stopwatch
from ledger import schema
from ledger.backends import open_database
from ledger.backends.sqlite import driver

__all__ = ["bulk", "commits"]

Row = tuple[Any, ...]

_WIDTH: Final = len(schema.events.columns)
_KINDS: Final = ((LargeBinary, "bytea"), (SmallInteger, "int2"), (BigInteger, "int8"), (Integer, "int4"))


def bulk(task: Bulk) -> float:
    """Seconds inside the driver: `executemany` or binary `COPY`, one transaction per list."""
    rows = _stored_rows(task.source)
    chunks = [list(islice(rows, len(events))) for events in task.lists()]
    with _inserter(task.url) as (many, _):
        settled()
        return sum(stopwatch(many, chunk) for chunk in chunks)


def commits(task: Commits) -> Paces:
    """One INSERT, one COMMIT: one after the other, then by 32 threads, each with a connection where that helps."""
    rows = list(islice(_stored_rows(task.source), task.single + task.shared))
    with _inserter(task.url) as (_, one):
        settled()
        seconds = sum(stopwatch(one, row) for row in rows[: task.single])
        shared = together(one, rows[task.single :], APPENDERS)
    return Paces(task.single / seconds, task.shared / shared)


def _stored_rows(url: str) -> Iterator[Row]:
    """What we stored, without the price book at position 1."""
    database = open_database(url)
    with database.read() as connection:
        query = select(schema.events).where(schema.events.c.position > 1).order_by(schema.events.c.position)
        rows = [tuple(row) for row in connection.execute(query)]
    database.close()
    return iter(rows)


_Inserter = tuple[Callable[[Sequence[Row]], None], Callable[[Row], None]]


def _inserter(url: str) -> AbstractContextManager[_Inserter]:
    return _sqlite(url) if url.startswith("sqlite") else _postgres(url)


@contextmanager
def _sqlite(url: str) -> Iterator[_Inserter]:
    """One connection with our own pragmas; threads take turns, which is the best that SQLite can do."""
    connection: Any = driver.connect(make_url(url).database, isolation_level=None, check_same_thread=False)
    for pragma in (
        "journal_mode=WAL",
        "synchronous=FULL",
        "temp_store=MEMORY",
        "cache_size=-65536",
        "wal_autocheckpoint=8000",
    ):
        connection.execute(f"PRAGMA {pragma}").fetchall()
    connection.execute(str(CreateTable(schema.events).compile(dialect=sqlite.dialect())))
    statement = f"INSERT INTO events VALUES ({', '.join('?' * _WIDTH)})"
    turn = threading.Lock()

    def many(rows: Sequence[Row]) -> None:
        connection.execute("BEGIN IMMEDIATE")
        connection.executemany(statement, rows)
        connection.execute("COMMIT")

    def one(row: Row) -> None:
        with turn:
            connection.execute("BEGIN IMMEDIATE")
            connection.execute(statement, row)
            connection.execute("COMMIT")

    yield many, one
    connection.close()


@contextmanager
def _postgres(url: str) -> Iterator[_Inserter]:
    """A connection for each thread."""
    from psycopg import connect

    address = url.replace("postgresql+psycopg", "postgresql")
    kinds = [
        next((name for kind, name in _KINDS if isinstance(column.type, kind)), "text")
        for column in schema.events.columns
    ]
    statement = f"INSERT INTO events VALUES ({', '.join(['%b'] * _WIDTH)})"
    local = threading.local()
    opened: list[Any] = []

    def connection() -> Any:
        if not hasattr(local, "connection"):
            local.connection = connect(address)
            opened.append(local.connection)
        return local.connection

    def many(rows: Sequence[Row]) -> None:
        with connection().cursor() as cursor, cursor.copy("COPY events FROM STDIN (FORMAT BINARY)") as copy:
            copy.set_types(kinds)
            for row in rows:
                copy.write_row(row)
        connection().commit()

    def one(row: Row) -> None:
        connection().execute(statement, row, prepare=True)
        connection().commit()

    dialect = postgresql.dialect()  # type: ignore[no-untyped-call]
    connection().execute(str(CreateTable(schema.events).compile(dialect=dialect)))
    connection().commit()
    yield many, one
    for each in opened:
        each.close()
