"""The bare driver: the same rows into a table of the same shape, and nothing else."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.schema import CreateTable

from ledger import schema
from ledger.backends.sqlite import driver

__all__ = ["postgres_rows", "sqlite_rows"]

Rows = Sequence[Sequence[Any]]


def sqlite_rows(folder: Path, chunks: Sequence[Rows]) -> None:
    """`executemany`, one transaction per chunk, synced as ours are."""
    connection = driver.connect(str(folder / "raw.db"), isolation_level=None)
    connection.execute("PRAGMA journal_mode=WAL")
    connection.execute("PRAGMA synchronous=FULL")
    connection.execute(str(CreateTable(schema.events).compile(dialect=sqlite.dialect())))
    statement = f"INSERT INTO events VALUES ({', '.join('?' * len(schema.events.columns))})"
    for rows in chunks:
        connection.execute("BEGIN IMMEDIATE")
        connection.executemany(statement, rows)
        connection.execute("COMMIT")
    connection.close()


def postgres_rows(url: str, chunks: Sequence[Rows]) -> None:
    """Binary `COPY`, one transaction per chunk."""
    kinds = [
        "int8",
        "text",
        "int4",
        "bytea",
        "text",
        "int2",
        "int8",
        "int8",
        "bytea",
        "bytea",
        "text",
        "bytea",
        "bytea",
    ]
    with _postgres(url) as connection:
        connection.execute(str(CreateTable(schema.events).compile(dialect=postgresql.dialect())))
        connection.commit()
        for rows in chunks:
            with connection.cursor() as cursor, cursor.copy("COPY events FROM STDIN (FORMAT BINARY)") as copy:
                copy.set_types(kinds)
                for row in rows:
                    copy.write_row(row)
            connection.commit()


@contextmanager
def _postgres(url: str) -> Iterator[Any]:
    import psycopg

    with psycopg.connect(url.replace("postgresql+psycopg", "postgresql")) as connection:
        yield connection
