"""The writer: what is acknowledged is stored, and what is recorded is stored, spooled or counted as lost."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future
from pathlib import Path
from typing import Any

import msgspec
import pytest

from ledger import Ledger, NewEvent, shared_writer
from ledger.errors import ConfigurationError, DatabaseUnusable, InputError, VersionConflict
from ledger.events import ConfigChanged
from ledger.spool import Spool, decode_record, spool_files
from ledger.turns import Append
from ledger.writer import Writer
from tests.support.clock import NOON, FakeClock, seeded_ids
from tests.support.databases import shared_url

ids = seeded_ids(seed=5)


def note(stream: str, version: int = 1) -> NewEvent:
    return NewEvent(
        f"config/{stream}", version, ConfigChanged(version="", config=msgspec.Raw(b"{}")), ids.new(), NOON
    )


def unwritable() -> NewEvent:
    return NewEvent("config/x", 1, ConfigChanged(version="\ud800", config=msgspec.Raw(b"{}")), ids.new(), NOON)


class Database:
    """Stands in for a ledger: slow while `gate` is closed, down while there is an `error`."""

    def __init__(self) -> None:
        self.gate = threading.Event()
        self.gate.set()
        self.writing = threading.Event()
        self.error: Exception | None = None
        self.stored: list[str] = []

    def append_all(self, appends: Sequence[Append]) -> None:
        self.writing.set()
        assert self.gate.wait(10)
        for append in appends:
            if self.error is not None:
                append.refusal = self.error
            else:
                self.stored += [event.stream_id.partition("/")[2] for event in append.events]
                append.positions = [len(self.stored)]


@pytest.fixture
def database() -> Database:
    return Database()


@pytest.fixture
def spool(tmp_path: Path) -> Spool:
    return Spool(tmp_path / "ledger.db", max_bytes=10_000, ids=ids)


@pytest.fixture
def writer(database: Database, spool: Spool, clock: FakeClock) -> Iterator[Writer]:
    writer = Writer(lambda: database, spool, clock=clock, capacity=3)
    yield writer
    database.gate.set()
    writer.close()


def held_up(writer: Writer, database: Database) -> Future[list[int]]:
    """The thread is busy writing, and the queue is empty."""
    database.gate.clear()
    database.writing.clear()
    future = writer.submit([note("first")])
    assert database.writing.wait(10)
    return future


def in_spool(spool: Spool) -> list[str]:
    lines = [line for path in spool_files(spool.base) for line in path.read_bytes().splitlines(keepends=True)]
    return [decode_record(line)[0][0].stream_id.partition("/")[2] for line in lines]


def until(condition: Callable[[], Any]) -> None:
    for _ in range(10_000):
        if condition():
            return
        time.sleep(0.001)
    pytest.fail("it did not come to that within 10 s")


# --- the queue -----------------------------------------------------------------------------------------------


def test_a_full_queue_sends_records_to_the_spool(writer: Writer, database: Database, spool: Spool) -> None:
    first = held_up(writer, database)
    for name in "abcde":
        writer.record([note(name)])
    assert in_spool(spool) == ["d", "e"]
    assert (writer.spooled, writer.dropped) == (2, 0)
    database.gate.set()
    assert first.result(10) == [1]
    until(lambda: sorted(database.stored) == ["a", "b", "c", "d", "e", "first"])
    until(lambda: not in_spool(spool))


def test_a_full_queue_makes_submitters_wait_for_a_while(writer: Writer, database: Database) -> None:
    held_up(writer, database)
    futures = [writer.submit([note(name)]) for name in "abc"]
    with pytest.raises(DatabaseUnusable, match=r"3 appends wait for the database, and no room came in 0\.01 s"):
        writer.submit([note("d")], wait=0.01)
    waiting = threading.Thread(target=lambda: futures.append(writer.submit([note("e")])))
    waiting.start()
    database.gate.set()
    waiting.join(10)
    assert [future.result(10) for future in futures] == [[2], [3], [4], [5]]


def test_a_ledger_in_memory_needs_no_spool(database: Database) -> None:
    writer = Writer(lambda: database, capacity=2)
    held_up(writer, database)
    for number in range(5):
        writer.record([note(str(number))])
    database.gate.set()
    assert writer.flush(10)
    assert len(database.stored) == 6
    writer.close()
    writer.record([note("late")])
    assert writer.dropped == 1


def test_what_is_canceled_in_time_is_not_written(writer: Writer, database: Database) -> None:
    first = held_up(writer, database)
    second = writer.submit([note("second")])
    assert second.cancel()
    assert not first.cancel()
    database.gate.set()
    assert writer.flush(10)
    assert database.stored == ["first"]


def test_a_flush_does_not_wait_for_ever(writer: Writer, database: Database) -> None:
    held_up(writer, database)
    assert not writer.flush(0.01)
    database.gate.set()
    assert writer.flush(10)


# --- bad input -----------------------------------------------------------------------------------------------


def test_whoever_submits_what_cannot_be_stored_is_told(writer: Writer, database: Database) -> None:
    with pytest.raises(InputError, match="lone surrogate"):
        writer.submit([unwritable()])
    assert database.stored == []


def test_a_record_that_cannot_be_stored_is_not_lost_in_silence(
    writer: Writer, caplog: pytest.LogCaptureFixture
) -> None:
    writer.record([note("good"), unwritable()])
    assert writer.dropped == 1
    assert "a call record is lost, since it cannot be stored: config/x: config.changed contains a lone" in caplog.text


# --- a database that is down ---------------------------------------------------------------------------------


def test_what_a_database_that_is_down_does_not_take_comes_in_later(
    writer: Writer, database: Database, spool: Spool, caplog: pytest.LogCaptureFixture
) -> None:
    database.error = DatabaseUnusable("the server is away")
    submitted = writer.submit([note("s")])
    for name in "abc":
        writer.record([note(name)])
        assert writer.flush(10)
    assert submitted.exception(10) is database.error
    assert in_spool(spool) == ["a", "b", "c"]
    assert caplog.text.count("call records are spooled") == 1
    assert "the server is away" in caplog.text
    database.error = None
    writer.record([note("d")])
    until(lambda: database.stored == ["d", "a", "b", "c"])
    until(lambda: not spool_files(spool.base))


def test_a_ledger_that_cannot_be_opened_is_tried_again(database: Database, spool: Spool) -> None:
    fails = [True]

    def target() -> Database:
        if fails[0]:
            raise DatabaseUnusable("no such server")
        return database

    writer = Writer(target, spool)
    writer.record([note("a")])
    with pytest.raises(DatabaseUnusable, match="no such server"):
        writer.submit([note("b")]).result(10)
    fails[0] = False
    assert writer.submit([note("c")]).result(10) == [1]
    until(lambda: database.stored == ["c", "a"])
    writer.close()


def test_what_the_log_refuses_is_set_aside(
    writer: Writer, database: Database, spool: Spool, caplog: pytest.LogCaptureFixture
) -> None:
    database.error = VersionConflict("config/a", 2, 5)
    writer.record([note("a", 2)])
    assert writer.flush(10)
    rejected = spool.path.with_name(f"{spool.path.name}.rejected")
    comment, record = rejected.read_bytes().splitlines(keepends=True)
    assert comment == b"# config/a: expected 2 as next version, but the stream is at 5\n"
    assert decode_record(record)[0][0].stream_id == "config/a"
    assert f"call records are set aside in {rejected}" in caplog.text


def test_a_conflict_may_mean_that_what_comes_before_is_in_the_spool(ledger: Ledger, tmp_path: Path) -> None:
    down = [True]

    class Target:
        def append_all(self, appends: Sequence[Append]) -> None:
            if down[0]:
                raise DatabaseUnusable("away")
            ledger.append_all(appends)

    writer = Writer(Target, Spool(tmp_path / "ledger.db", max_bytes=10_000))
    writer.record([note("a", 1)])
    writer.flush(10)
    down[0] = False
    writer.record([note("a", 2)])
    writer.submit([note("b")]).result(10)
    until(lambda: [event.version for event in ledger.events(stream="config/a")] == [1, 2])
    writer.close()
    assert list(tmp_path.iterdir()) == []


def test_what_the_spool_does_not_hold_is_counted_and_named_once_a_minute(
    writer: Writer, database: Database, clock: FakeClock, caplog: pytest.LogCaptureFixture
) -> None:
    database.error = DatabaseUnusable("away")

    def lines() -> int:
        return caplog.text.count("call records are lost")

    for number in range(100):
        writer.record([note(f"{'x' * 500}{number}")])
        writer.flush(10)
    assert writer.dropped > 50
    assert writer.dropped + writer.spooled == 100
    assert lines() == 1
    assert "LLM_LEDGER_SPOOL_BYTES" in caplog.text
    clock.advance(61)
    writer.record([note("x" * 500)])
    writer.flush(10)
    assert lines() == 2
    assert caplog.records[-1].levelno == logging.WARNING


# --- the end -------------------------------------------------------------------------------------------------


def test_closing_takes_a_bounded_time_and_spools_the_rest(writer: Writer, database: Database, spool: Spool) -> None:
    database.gate.clear()
    database.writing.clear()
    writer.record([note("writing")])
    assert database.writing.wait(10)
    writer.record([note("waiting")])
    submitted = writer.submit([note("submitted")])
    writer.close(timeout=0.01)
    assert in_spool(spool) == ["writing", "waiting"]
    with pytest.raises(DatabaseUnusable, match="closed before this could be written"):
        submitted.result(0)
    database.gate.set()


def test_after_the_end_records_go_to_the_spool(writer: Writer, spool: Spool) -> None:
    writer.close()
    writer.close()
    writer.record([note("late")])
    assert in_spool(spool) == ["late"]
    with pytest.raises(DatabaseUnusable, match="closed"):
        writer.submit([note("later")])


def test_a_thread_that_cannot_be_started_costs_no_record(
    writer: Writer, spool: Spool, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(_thread: threading.Thread) -> None:
        raise RuntimeError("can't start new thread at interpreter shutdown")

    monkeypatch.setattr(threading.Thread, "start", refuse)
    writer.record([note("late")])
    assert in_spool(spool) == ["late"]


# --- one for all ---------------------------------------------------------------------------------------------


def test_all_share_the_writer_of_a_database(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    writer = shared_writer("sqlite:///ledger.db")
    assert shared_writer(f"sqlite:///{tmp_path}/ledger.db") is writer
    assert shared_writer("sqlite:///other.db") is not writer
    assert not (tmp_path / "ledger.db").exists()
    assert writer.submit([note("a")]).result(10) == [2]
    writer.close()
    again = shared_writer("sqlite:///ledger.db")
    assert again is not writer
    assert again.submit([note("b")]).result(10) == [3]
    again.close()
    assert not list(tmp_path.glob("*.spool-*"))


def test_the_shared_writer_is_where_the_environment_says(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    url = shared_url(tmp_path)
    monkeypatch.setenv("LLM_LEDGER_DATABASE_URL", url)
    writer = shared_writer()
    assert shared_writer(url) is writer
    assert writer.submit([note("a")]).result(10) == [2]
    writer.close()
    with pytest.raises(ConfigurationError, match="names mysql"):
        shared_writer("mysql://host/db")
