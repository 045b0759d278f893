"""Many writers on one Postgres ledger: no gap, no event that a reader who follows the log would miss."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

import msgspec
import pytest
from sqlalchemy import text

from ledger import Ledger, NewEvent
from ledger.events import ConfigChanged
from ledger.verify import verify
from tests.support import postgres
from tests.support.clock import NOON
from tests.support.processes import start_writer

BODY = ConfigChanged(version="1", config=msgspec.Raw(b"{}"))


@pytest.fixture
def url() -> str:
    return postgres.fresh_database()


@pytest.fixture
def ledger(url: str) -> Iterator[Ledger]:
    with Ledger.open(url) as ledger:
        yield ledger


def write(url: str, name: str, appends: int, size: int) -> list[int]:
    """Append through a ledger of one's own: nothing is committed together with what others write."""
    positions: list[int] = []
    with Ledger.open(url) as ledger:
        for turn in range(appends):
            versions = range(turn * size + 1, turn * size + size + 1)
            positions += ledger.append(
                [NewEvent(f"config/{name}", at, BODY, ledger.ids.new(), NOON) for at in versions]
            )
    return positions


def test_writers_get_positions_without_gaps(url: str, ledger: Ledger) -> None:
    with ThreadPoolExecutor(2) as pool:
        one, two = pool.map(write, [url, url], ["a", "b"], [20, 15], [3, 30])
    assert sorted([*one, *two]) == list(range(2, 2 + 20 * 3 + 15 * 30))
    assert verify(ledger.database).problems == ()


def test_who_follows_the_log_misses_nothing_while_threads_and_processes_write(url: str, ledger: Ledger) -> None:
    total = 1 + 2 * 30 * 2 + 2 * 15 * 25
    processes = [start_writer(url, name, appends=15, size=25) for name in ("process-a", "process-b")]
    seen: list[int] = []
    pages = 0
    with ThreadPoolExecutor(2) as pool:
        threads = [pool.submit(write, url, name, 30, 2) for name in ("thread-a", "thread-b")]
        while len(seen) < total:
            page = [event.position for event in ledger.events(after=seen[-1] if seen else 0)]
            assert page == list(range(len(seen) + 1, len(seen) + 1 + len(page)))
            pages += bool(page)
            seen += page
            assert (
                page or not all(thread.done() for thread in threads) or any(one.poll() is None for one in processes)
            )
    assert [process.communicate()[0].count("\n") for process in processes] == [16, 16]
    assert pages > 5
    assert seen == list(range(1, total + 1))
    assert verify(ledger.database).problems == ()


def test_a_reader_keeps_its_view_while_others_write(url: str, ledger: Ledger) -> None:
    count = text("SELECT count(*) FROM events")
    with ledger.read() as connection:
        assert connection.scalar(count) == 1
        writer = threading.Thread(target=write, args=(url, "a", 1, 1))
        writer.start()
        writer.join()
        assert connection.scalar(count) == 1
    with ledger.read() as connection:
        assert connection.scalar(count) == 2
