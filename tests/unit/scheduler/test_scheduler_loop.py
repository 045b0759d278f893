"""The loop runs the worker in the background, and leaves nothing behind."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable
from datetime import datetime, timedelta, tzinfo

import pytest

from ledger.clock import SystemClock
from ledger.errors import DatabaseUnavailable
from ledger.queries import outstanding
from scheduler import Loop
from tests.support.fake_provider import Turn
from tests.support.world import World


def wait(until: Callable[[], bool]) -> None:
    end = time.monotonic() + 20
    while not until():
        assert time.monotonic() < end
        time.sleep(0.01)


def done(world: World) -> bool:
    world.clock.advance(0.5)
    return outstanding(world.ledger).idle


def test_it_does_the_work_and_stops(shared_world: World) -> None:
    world = shared_world
    before = set(threading.enumerate())
    world.provider.batch_seconds = 0.0
    world.submit(10)
    with Loop(world.worker, hands=2, tick_seconds=0.01):
        wait(lambda: done(world))
    assert set(threading.enumerate()) == before
    assert world.statuses() == ["succeeded"] * 10
    assert world.worker.mishaps.errors == {}
    world.check()


def test_a_step_under_way_is_finished_before_it_stops(shared_world: World) -> None:
    world = shared_world
    world.ledger.clock = SystemClock()
    world.submit(4)
    sending, go_on = threading.Event(), threading.Event()

    def slow() -> None:
        sending.set()
        assert go_on.wait(20)

    world.provider.plan("create", Turn(hook=slow))
    loop = Loop(world.worker, hands=1, tick_seconds=0.01)
    loop.start()
    assert sending.wait(20)
    stopper = threading.Thread(target=loop.stop)
    stopper.start()
    assert world.batch().status == "submitting"
    go_on.set()
    stopper.join(20)
    assert not stopper.is_alive()
    assert world.batch().status == "in_progress"
    assert world.provider.calls["retrieve"] == 0


def test_what_fails_outside_of_a_step_is_said_once_and_tried_again(
    shared_world: World, caplog: pytest.LogCaptureFixture
) -> None:
    world = shared_world
    calls = {"plan": 0, "advance": 0}
    mended = threading.Event()

    def failing(name: str, act: Callable[[], int]) -> Callable[[], int]:
        def call() -> int:
            calls[name] += 1
            if not mended.is_set():
                raise OSError("disk full")
            return act()

        return call

    plan, advance = world.worker.plan, world.worker.advance
    world.worker.plan = failing("plan", plan)  # type: ignore[method-assign]
    world.worker.advance = failing("advance", advance)  # type: ignore[method-assign,assignment]
    world.submit(4)
    with caplog.at_level(logging.ERROR), Loop(world.worker, hands=1, tick_seconds=0.01):
        wait(lambda: set(world.worker.mishaps.errors) == {"plan", "advance"})
        # The clock of this world stands still, and so does what failed.
        time.sleep(0.05)
        assert calls == {"plan": 1, "advance": 1}
        world.clock.advance(10)
        wait(lambda: calls == {"plan": 2, "advance": 2})
        mended.set()
        world.clock.advance(10)
        wait(lambda: bool(world.batches()) and world.batch().status == "in_progress")
        wait(lambda: world.worker.mishaps.errors == {})
    assert sorted(caplog.messages) == [f"{name} failed; tried again every 10 s" for name in ("advance", "plan")]


def test_a_database_that_is_gone_is_waited_for_and_no_mishap(
    shared_world: World, caplog: pytest.LogCaptureFixture
) -> None:
    world = shared_world
    gone = threading.Event()
    gone.set()

    def failing(act: Callable[[], int]) -> Callable[[], int]:
        def call() -> int:
            if gone.is_set():
                raise DatabaseUnavailable("locked")
            return act()

        return call

    world.worker.plan = failing(world.worker.plan)  # type: ignore[method-assign]
    world.worker.advance = failing(world.worker.advance)  # type: ignore[method-assign,assignment]
    world.submit(4)
    with caplog.at_level(logging.INFO, "scheduler"), Loop(world.worker, hands=2, tick_seconds=0.01):
        wait(lambda: world.worker.outage.error is not None)
        world.clock.advance(60)
        gone.clear()
        wait(lambda: done(world))
        wait(lambda: world.worker.outage.error is None)
    assert world.worker.mishaps.errors == {}
    assert [message.partition(":")[0].partition(",")[0] for message in caplog.messages] == [
        "the ledger's database cannot be used now",
        "the ledger's database can be used again",
    ]
    world.check()


def test_a_wall_clock_that_is_set_back_does_not_stop_it(shared_world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    """APScheduler's own clock, by which it wakes its jobs, not that of the ledger."""
    looks: list[float] = []
    shared_world.worker.plan = lambda: looks.append(0.0) or 1  # type: ignore[method-assign,func-returns-value]

    class SetBack(datetime):
        by = timedelta()

        @classmethod
        def now(cls, tz: tzinfo | None = None) -> datetime:  # type: ignore[override]
            return datetime.now(tz) - cls.by

    monkeypatch.setattr("scheduler.loop.datetime", SetBack)
    monkeypatch.setattr("apscheduler.schedulers.base.datetime", SetBack)
    with Loop(shared_world.worker, tick_seconds=0.01):
        wait(lambda: len(looks) > 3)
        SetBack.by = timedelta(days=40)
        so_far = len(looks)
        wait(lambda: len(looks) > so_far + 3)


def test_it_is_a_context_manager_that_stops_on_errors(shared_world: World) -> None:
    before = set(threading.enumerate())
    with pytest.raises(KeyError), Loop(shared_world.worker, tick_seconds=0.01):
        raise KeyError
    assert set(threading.enumerate()) == before


def test_with_nothing_to_do_it_asks_the_ledger_ever_less_often(shared_world: World) -> None:
    world = shared_world
    looks = {"plan": 0, "advance": 0}

    def counted(name: str, act: Callable[[], int]) -> Callable[[], int]:
        def call() -> int:
            looks[name] += 1
            return act()

        return call

    world.worker.plan = counted("plan", world.worker.plan)  # type: ignore[method-assign]
    world.worker.advance = counted("advance", world.worker.advance)  # type: ignore[method-assign,assignment]
    with Loop(world.worker, hands=4, tick_seconds=0.01):
        wait(lambda: looks == {"plan": 2, "advance": 2})
        # The clock of this world stands still: however many ticks go by, the next look is not due.
        time.sleep(0.05)
        assert looks == {"plan": 2, "advance": 2}
        world.submit(4)
        world.clock.advance(1)
        wait(lambda: bool(world.batches()) and world.batch().status == "in_progress")
