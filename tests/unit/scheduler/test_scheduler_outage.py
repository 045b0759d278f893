"""A database that is gone is left alone, asked by one hand, and spoken of twice: when it goes and when it is back."""

from __future__ import annotations

import logging

import pytest

from ledger import Ledger
from ledger.errors import DatabaseUnavailable
from scheduler.outage import Outage
from tests.support.ledgers import bare_ledger
from tests.support.manual_clock import ManualClock

GONE = DatabaseUnavailable("the disk is full")


class Asked:
    """A ledger that counts how often it is tried, and is gone while it is told to be."""

    def __init__(self, clock: ManualClock) -> None:
        self.clock = clock
        self.gone = True
        self.tries = 0

    def try_writing(self) -> None:
        self.tries += 1
        if self.gone:
            raise GONE


@pytest.fixture
def clock() -> ManualClock:
    return ManualClock()


@pytest.fixture
def asked(clock: ManualClock) -> Asked:
    return Asked(clock)


@pytest.fixture
def outage(asked: Asked, caplog: pytest.LogCaptureFixture) -> Outage:
    caplog.set_level(logging.INFO, "scheduler.outage")
    return Outage(asked)  # type: ignore[arg-type]


def test_without_trouble_nothing_is_asked(outage: Outage, asked: Asked) -> None:
    assert not outage.lasts()
    assert outage.failing_for() == 0.0
    assert asked.tries == 0


def test_pauses_grow_and_one_question_ends_each(outage: Outage, asked: Asked, clock: ManualClock) -> None:
    outage.happened(GONE)
    outage.happened(GONE)  # another hand met the same
    waited = []
    for _ in range(7):
        tries, began = asked.tries, clock.monotonic()
        while asked.tries == tries:
            assert outage.lasts()
            clock.advance(0.5)
        waited.append(clock.monotonic() - began)
    assert waited[:5] == [1.5, 2.0, 4.0, 8.0, 15.0]
    assert set(waited[5:]) == {15.0}
    assert outage.failing_for() == clock.monotonic()


def test_it_is_over_when_something_was_stored(
    outage: Outage, asked: Asked, clock: ManualClock, caplog: pytest.LogCaptureFixture
) -> None:
    outage.happened(GONE)
    outage.worked()  # a hand that had begun before
    assert outage.error is GONE
    clock.advance(1)
    asked.gone = False
    assert not outage.lasts()
    assert outage.error is GONE
    outage.worked()
    assert outage.error is None
    assert caplog.messages == [
        "the ledger's database cannot be used now: the disk is full; trying again, nothing is lost",
        "the ledger's database can be used again, after 1 s",
    ]


def test_with_nothing_to_do_it_is_over_after_a_while(outage: Outage, asked: Asked, clock: ManualClock) -> None:
    outage.happened(GONE)
    asked.gone = False
    clock.advance(1)
    assert not outage.lasts()
    clock.advance(4.9)
    assert not outage.lasts()
    assert outage.error is GONE
    clock.advance(0.1)
    assert not outage.lasts()
    assert outage.error is None
    assert asked.tries == 1


def test_what_comes_and_goes_is_said_once(
    outage: Outage, asked: Asked, clock: ManualClock, caplog: pytest.LogCaptureFixture
) -> None:
    """A disk may have room for what proves that there is room, and for nothing else."""
    asked.gone = False
    outage.happened(GONE)
    for _ in range(5):
        clock.advance(15)
        assert not outage.lasts()
        outage.happened(GONE)
    assert outage.failing_for() == 75.0
    assert len(caplog.messages) == 1


def test_a_wall_clock_that_is_set_changes_nothing(outage: Outage, asked: Asked, clock: ManualClock) -> None:
    outage.happened(GONE)
    clock.jump(40 * 86_400)
    assert outage.lasts()
    clock.jump(-80 * 86_400)
    clock.advance(1)
    assert outage.lasts()
    assert (asked.tries, outage.failing_for()) == (1, 1.0)


def test_asking_writes_nothing() -> None:
    with bare_ledger() as ledger:
        assert isinstance(ledger, Ledger)
        before = ledger.head()
        ledger.try_writing()
        assert ledger.head() == before
