"""A SQLite ledger that another process keeps locked: who wants to write waits, tries again, and loses nothing."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from pathlib import Path

import pytest

from ledger import Ledger
from ledger.backends.sqlite import SQLiteDatabase, driver
from ledger.errors import DatabaseUnavailable
from ledger.queries import outstanding
from ledger.verify import verify
from scheduler import Context, Intake, Loop, Worker
from tests.support.fake_provider import FakeProvider
from tests.support.fake_rules import FakeRules
from tests.support.history import History
from tests.support.manual_clock import ManualClock
from tests.support.world import POLICY


@pytest.fixture
def path(tmp_path: Path) -> Path:
    path = tmp_path / "ledger.db"
    Ledger.open(f"sqlite:///{path}").close()
    return path


@contextmanager
def locked(path: Path) -> Iterator[None]:
    """Another program writes, and takes its time."""
    with closing(driver.connect(str(path), isolation_level=None)) as other:
        other.execute("BEGIN IMMEDIATE")
        yield
        other.execute("ROLLBACK")


def impatient(path: Path, clock: ManualClock | None = None) -> Ledger:
    """A ledger that waits 20 ms for a lock instead of a minute."""
    return Ledger(SQLiteDatabase(f"sqlite:///{path}", busy_seconds=0.02), clock=clock)


def wait(until: Callable[[], bool]) -> None:
    end = time.monotonic() + 20
    while not until():
        assert time.monotonic() < end
        time.sleep(0.01)


def test_a_lock_that_is_soon_given_back_is_not_noticed(path: Path) -> None:
    history = History()
    history.configure()
    with Ledger.open(f"sqlite:///{path}") as ledger:
        with locked(path):
            writer = threading.Thread(target=ledger.append, args=(history.take(),))
            writer.start()
            writer.join(0.05)
            assert writer.is_alive()
        writer.join(20)
        assert ledger.head().position == 2
        assert verify(ledger.database).sound


def test_a_lock_that_lasts_is_one_line_and_what_was_refused_can_be_appended_again(path: Path) -> None:
    history = History()
    history.configure()
    events = history.take()
    with impatient(path) as ledger:
        with locked(path):
            with pytest.raises(DatabaseUnavailable) as refusal:
                ledger.append(events)
            assert str(refusal.value) == f"{path} is locked by another process, and stayed so for 0.02 s"
            assert ledger.head().position == 1
        assert ledger.append(events) == [2]


def test_the_loop_waits_for_it_and_says_so_once(path: Path, caplog: pytest.LogCaptureFixture) -> None:
    clock = ManualClock()
    provider = FakeProvider(clock)
    with caplog.at_level(logging.INFO, "scheduler"), impatient(path, clock) as ledger:
        lines = [b'{"custom_id":"r%d","params":{"max_tokens":16}}' % number for number in range(6)]
        Intake(ledger, FakeRules()).submit(lines)
        worker = Worker(Context(ledger=ledger, provider=provider, policy=lambda: POLICY))
        with Loop(worker, hands=2, tick_seconds=0.01):
            with locked(path):
                wait(lambda: worker.outage.error is not None)
                for _ in range(5):  # long after the first pause, and the second: it asks again each time
                    clock.advance(20)
                    time.sleep(0.03)
                assert provider.calls["create"] == 0
            wait(lambda: done(ledger, clock))
        assert worker.mishaps.errors == {}
        assert worker.outage.error is None
        assert verify(ledger.database).sound
    assert provider.params_taken.total() == 6
    said = [record.getMessage() for record in caplog.records if record.name == "scheduler.outage"]
    assert said[0] == (
        f"the ledger's database cannot be used now: {path} is locked by another process, and stayed so for 0.02 s; "
        "trying again, nothing is lost"
    )
    assert len(said) == 2
    assert said[1].startswith("the ledger's database can be used again, after ")


def done(ledger: Ledger, clock: ManualClock) -> bool:
    clock.advance(0.5)
    return outstanding(ledger).idle
