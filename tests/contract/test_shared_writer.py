"""What every database has to do for the writer: the acknowledged is stored, together, for any thread or loop."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractContextManager
from itertools import count
from typing import Any

import msgspec
import pytest
from sqlalchemy import Connection

from ledger import Ledger, NewEvent
from ledger.backends import Database, open_database
from ledger.errors import IdempotencyMismatch, VersionConflict
from ledger.events import ConfigChanged
from ledger.migrate import upgrade
from ledger.payloads import encode_payload
from ledger.verify import verify
from tests.support.clock import NOON, seeded_ids

ids = seeded_ids(seed=7)
_names = count()


def note(stream: str, version: int = 1, text: str = "") -> NewEvent:
    return NewEvent(
        f"config/{stream}", version, ConfigChanged(version=text, config=msgspec.Raw(b"{}")), ids.new(), NOON
    )


def notes(number: int) -> list[NewEvent]:
    return [note(f"n{next(_names)}") for _ in range(number)]


class Counting:
    """A database that counts its write transactions."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self.commits = 0

    def __getattr__(self, name: str) -> Any:
        return getattr(self._database, name)

    def write(self) -> AbstractContextManager[Connection]:
        self.commits += 1
        return self._database.write()


@pytest.fixture
def counting(database_url: str) -> Counting:
    database = open_database(database_url)
    upgrade(database)
    return Counting(database)


@pytest.fixture
def ledger(counting: Counting) -> Iterator[Ledger]:
    with Ledger(counting) as ledger:  # type: ignore[arg-type]
        yield ledger


def stored(ledger: Ledger) -> list[str]:
    return [event.stream_id for event in ledger.events()]


def test_a_future_gives_positions_and_is_done_when_they_can_be_read(ledger: Ledger) -> None:
    future = ledger.writer.submit([note("a"), note("b")], [encode_payload(b"body")])
    assert future.result(10) == [1, 2]
    assert stored(ledger) == ["config/a", "config/b"]
    assert ledger.payload(encode_payload(b"body").digest) == b"body"


def test_nothing_is_answered_with_nothing(ledger: Ledger) -> None:
    assert ledger.writer.submit([]).result(10) == []


def test_what_is_recorded_is_there_after_a_flush(ledger: Ledger) -> None:
    for event in notes(50):
        ledger.writer.record([event])
    assert ledger.writer.flush(10)
    assert len(stored(ledger)) == 50


def test_closing_writes_what_is_there(ledger: Ledger, counting: Counting) -> None:
    writer = ledger.writer
    futures = [writer.submit([event]) for event in notes(5)]
    writer.close()
    assert sorted(position for future in futures for position in future.result(0)) == [1, 2, 3, 4, 5]
    assert ledger.writer is not writer
    assert ledger.writer.submit(notes(1)).result(10) == [6]


def test_the_same_events_again_get_the_same_positions(ledger: Ledger) -> None:
    events = notes(3)
    first = ledger.writer.submit(events).result(10)
    again = [
        ledger.writer.submit(events),
        ledger.writer.submit(events[:1]),
        ledger.writer.submit([*events, *notes(1)]),
    ]
    assert [future.result(10) for future in again] == [first, first[:1], [*first, 4]]


def test_whoever_is_refused_takes_nobody_along(ledger: Ledger) -> None:
    known = note("known")
    ledger.append([known])
    otherwise = msgspec.structs.replace(known, data=ConfigChanged(version="other", config=msgspec.Raw(b"{}")))
    hold = ledger.database.write()
    with hold if ledger.database.dialect == "sqlite" else ledger.read():  # whatever comes now waits, and is one group
        good = [ledger.writer.submit([event]) for event in notes(3)]
        late = ledger.writer.submit([note("known", 5)])
        changed = ledger.writer.submit([otherwise])
        more = [ledger.writer.submit([event]) for event in notes(3)]
    assert sorted(position for future in (*good, *more) for position in future.result(10)) == [2, 3, 4, 5, 6, 7]
    assert isinstance(late.exception(10), VersionConflict)
    assert isinstance(changed.exception(10), IdempotencyMismatch)


def test_tasks_of_two_loops_share_a_writer(ledger: Ledger) -> None:
    async def appender(events: Sequence[NewEvent]) -> list[int]:
        return [(await asyncio.wrap_future(ledger.writer.submit([event])))[0] for event in events]

    async def tasks() -> list[list[int]]:
        return await asyncio.gather(*(appender(notes(5)) for _ in range(16)))

    with ThreadPoolExecutor(2) as pool:
        runs = [future.result(30) for future in [pool.submit(asyncio.run, tasks()) for _ in range(2)]]
    found = [positions for run in runs for positions in run]
    assert sorted(position for positions in found for position in positions) == list(range(1, 161))
    assert all(positions == sorted(positions) for positions in found)


def test_many_tasks_share_commits(ledger: Ledger, counting: Counting) -> None:
    async def appender(events: Sequence[NewEvent]) -> None:
        for event in events:
            await asyncio.wrap_future(ledger.writer.submit([event]))

    async def tasks() -> None:
        await asyncio.gather(*(appender(notes(10)) for _ in range(32)))

    counting.commits = 0
    asyncio.run(tasks())
    assert counting.commits <= 320 / 4
    assert verify(ledger.database).sound


def test_many_threads_share_commits(ledger: Ledger, counting: Counting) -> None:
    def appender(events: Sequence[NewEvent]) -> None:
        for event in events:
            ledger.append([event])

    counting.commits = 0
    with ThreadPoolExecutor(32) as pool:
        list(pool.map(appender, [notes(10) for _ in range(32)]))
    assert len(stored(ledger)) == 320
    assert counting.commits <= 320 / 4
    assert verify(ledger.database).sound
