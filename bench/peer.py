"""The peer: the `eventsourcing` library, on the same work with its own means.

One aggregate per request and per batch, its events with the fields of ours, the library's default JSON transcoder,
`Application.save(*aggregates)` for every list. Only the saving is timed: triggering is not. It gets our SQLite, our
cache size and `synchronous=FULL`; on Postgres one connection, or one for each appender.
"""

from __future__ import annotations

import sys
import warnings
from collections.abc import Iterable
from contextlib import contextmanager
from typing import Any, Final
from unittest import mock
from uuid import UUID

import msgspec
from sqlalchemy import make_url

from bench.crowd import together
from bench.tasks import APPENDERS, Bulk, Commits, Paces, settled, stopwatch
from bench.workload import singles
from ledger import NewEvent
from ledger.backends.sqlite import driver

__all__ = ["bulk", "commits"]

_MOST_ON_POSTGRES: Final = 500
"""Events per save there: from 1,500 on its pipelined INSERT hangs for good (9.5.6, psycopg 3.3), client and server
each waiting for the other. 1,000 were seen to work, at about the same speed."""


def bulk(task: Bulk) -> float:
    """Seconds inside `Application.save`."""
    most = None if task.url.startswith("sqlite") else _MOST_ON_POSTGRES
    lists = [part for events in task.lists() for part in _parts([_plain(event) for event in events], most)]
    with _application(task.url) as (application, aggregates):
        settled()
        if task.alone:
            return sum(stopwatch(application.save, one) for events in lists for one in aggregates.changed_by(events))
        return sum(stopwatch(application.save, *aggregates.changed_by(events)) for events in lists)


def commits(task: Commits) -> Paces:
    """One aggregate with one event per save: one after the other, then by 32 threads."""
    events = [_plain(event) for event in singles(task.single + task.shared)]
    with _application(task.url) as (application, aggregates):
        changed = aggregates.changed_by(events)
        settled()
        seconds = sum(stopwatch(application.save, one) for one in changed[: task.single])
        shared = together(application.save, changed[task.single :], APPENDERS)
    return Paces(task.single / seconds, task.shared / shared)


def _parts(events: list[_Plain], most: int | None) -> list[list[_Plain]]:
    return [events] if most is None else [events[at : at + most] for at in range(0, len(events), most)]


class _Plain(msgspec.Struct, frozen=True):
    """An event as plain data: whose it is, what happened, and the JSON fields of ours."""

    aggregate: UUID
    type: str
    data: dict[str, Any]


def _plain(event: NewEvent) -> _Plain:
    kind = type(event.data).__name__
    fields = msgspec.json.decode(msgspec.json.encode(event.data))
    return _Plain(UUID(event.stream_id.partition("/")[2]), kind, fields)


class _Aggregates:
    """Every aggregate so far, at hand: nothing is read back for the sake of the next event."""

    def __init__(self, aggregate: type[Any]) -> None:
        self._class = aggregate
        self._all: dict[UUID, Any] = {}

    def changed_by(self, events: Iterable[_Plain]) -> list[Any]:
        """Let the events happen; the aggregates that have something to save, each once."""
        changed: dict[UUID, Any] = {}
        for event in events:
            aggregate = self._all.get(event.aggregate)
            if aggregate is None:
                opened = self._class.Opened
                aggregate = self._all[event.aggregate] = self._class.open(opened, event.aggregate, event.data)
            else:
                aggregate.trigger_event(getattr(self._class, event.type), data=event.data)
            changed[event.aggregate] = aggregate
        return list(changed.values())


@contextmanager
def _application(url: str) -> Any:
    from eventsourcing.application import Application

    from bench.peer_model import Stream

    # While it is imported, its SQLite module takes our driver for the interpreter's.
    with mock.patch.dict(sys.modules, sqlite3=driver), warnings.catch_warnings():
        warnings.simplefilter("ignore")
        application: Application[UUID] = Application(env=_environment(url))
    if url.startswith("sqlite"):
        _even_out(application)
    yield application, _Aggregates(Stream)
    application.close()


def _environment(url: str) -> dict[str, str]:
    place = make_url(url)
    if place.get_backend_name() == "sqlite":
        return {
            "PERSISTENCE_MODULE": "eventsourcing.sqlite",
            "SQLITE_DBNAME": str(place.database),
            "SQLITE_LOCK_TIMEOUT": "60",
        }
    return {
        "PERSISTENCE_MODULE": "eventsourcing.postgres",
        "POSTGRES_DBNAME": str(place.database),
        "POSTGRES_HOST": str(place.host or place.query["host"]),
        "POSTGRES_PORT": str(place.port or 5432),
        "POSTGRES_USER": str(place.username),
        "POSTGRES_PASSWORD": str(place.password or "trusted"),
        "POSTGRES_POOL_SIZE": "1",
        "POSTGRES_MAX_OVERFLOW": str(APPENDERS - 1),
        "POSTGRES_CONNECT_TIMEOUT": "60",
    }


def _even_out(application: Any) -> None:
    """Its one idle connection, which is the one it writes with, gets the settings of ours."""
    with application.factory.datastore.get_connection(commit=True) as connection:
        for pragma in ("synchronous=FULL", "temp_store=MEMORY", "cache_size=-65536", "wal_autocheckpoint=8000"):
            connection.cursor().execute(f"PRAGMA {pragma}")
