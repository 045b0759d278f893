"""Ledgers to test on, and what is in their projections."""

from __future__ import annotations

from functools import cache
from typing import Any

from sqlalchemy import insert, select, text

from ledger import Ledger, schema
from ledger.backends import Database, open_database
from ledger.ids import IdFactory
from ledger.migrate import upgrade
from ledger.projections import register
from tests.support.clock import FakeClock, seeded_ids
from tests.support.databases import memory_url

__all__ = ["bare_ledger", "dump", "rows_of"]


def bare_ledger(clock: FakeClock | None = None, ids: IdFactory | None = None, *, url: str | None = None) -> Ledger:
    """A ledger without any event: no price book is adopted yet. Close it.

    It lives where this run's ledgers live, in memory if that is SQLite, unless `url` says otherwise. Its schema
    is a copy of what the migrations make, since these take longer than most tests.
    """
    database = open_database(url or memory_url())
    if database.dialect == "sqlite":
        with database.write() as connection:
            for statement in _schema():
                connection.execute(text(statement))
            connection.execute(insert(schema.ledger_head).values(id=1, position=0, hash=bytes(32)))
            register(database, connection)
    clock = clock or FakeClock()
    return Ledger(database, clock=clock, ids=ids or seeded_ids(clock))


@cache
def _schema() -> tuple[str, ...]:
    database = open_database("sqlite://")
    upgrade(database)
    with database.read() as connection:
        statements = connection.scalars(text("SELECT sql FROM sqlite_master WHERE sql IS NOT NULL")).all()
    database.close()
    return tuple(statements)


def rows_of(database: Database, name: str) -> list[dict[str, Any]]:
    """All rows of a table, by primary key."""
    table = schema.metadata.tables[name]
    with database.read() as connection:
        found = connection.execute(select(table).order_by(*table.primary_key.columns))
        return [dict(row._mapping) for row in found]


def dump(database: Database) -> dict[str, list[dict[str, Any]]]:
    """Everything that is derived from the log, table by table."""
    return {table.name: rows_of(database, table.name) for table in schema.PROJECTION_TABLES}
