"""Clocks that are set, and machines whose clocks differ: the provider keeps the true time, and all goes by that.

A jump of an hour may put work off by that hour, since a due time that far ahead can be meant. Nothing is put off for
longer, lost, or paid twice.
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from ledger import Ledger
from ledger.clock import SystemClock
from ledger.queries import outstanding
from scheduler import Worker
from scheduler.providers.base import SubmissionUncertain
from tests.support.clock import seeded_ids
from tests.support.fake_provider import Turn
from tests.support.invariants import check_all
from tests.support.manual_clock import LocalClock
from tests.support.mortal import Death, Mortal
from tests.support.witness import FakeWitness
from tests.support.world import World

HOUR, DAY = 3_600.0, 86_400.0
JUMPS = (HOUR, -HOUR, 40 * DAY, -40 * DAY)

BOUND_SECONDS = 2 * HOUR
"""Of true time, until all is done."""


class Machine:
    """A worker on a machine with a clock of its own, at the true time unless it is `ahead`."""

    def __init__(self, world: World, number: int, ahead: float = 0.0) -> None:
        self.clock = LocalClock(world.clock, ahead)
        self.ledger = Ledger(world.ledger.database, clock=self.clock, ids=seeded_ids(self.clock, number))
        self._world = world
        self.worker = self.restarted()

    def restarted(self) -> Worker:
        self.mortal: Any = Mortal(self.ledger, lambda: False)
        self.worker = self._world.another_worker(self.mortal)
        return self.worker

    def work(self) -> None:
        """All that is due; a machine that dies of it comes back later."""
        try:
            self.worker.tick()
        except Death:
            self.restarted()
        assert self.worker.mishaps.errors == {}


@pytest.fixture
def world() -> Iterator[World]:
    world = World()
    # Almost the quiet time: whoever takes a jump for time that has passed releases what is about to appear.
    world.provider.visible_after = 15.0
    yield world
    world.close()


@pytest.fixture
def first(world: World) -> Machine:
    return Machine(world, 1)


def planned(world: World, first: Machine) -> None:
    world.clock.advance(world.policy.max_age_seconds)
    first.worker.plan()


def not_sent(world: World, first: Machine) -> None:
    world.provider.plan("create", Turn(hook=lambda: first.mortal.die()))
    planned(world, first)
    first.work()


def sent_and_not_heard_of(world: World, first: Machine) -> None:
    world.provider.plan("create", Turn(late=lambda: first.mortal.die()))
    planned(world, first)
    first.work()


def uncertain(world: World, first: Machine) -> None:
    world.provider.plan("create", Turn(lose=SubmissionUncertain("no answer")))
    planned(world, first)
    first.worker.advance()


def uncertain_and_never_made(world: World, first: Machine) -> None:
    world.provider.plan("create", Turn(refuse=SubmissionUncertain("no answer")))
    planned(world, first)
    first.worker.advance()


def looked_for(world: World, first: Machine) -> None:
    uncertain(world, first)
    first.worker.advance()


def in_progress(world: World, first: Machine) -> None:
    planned(world, first)
    first.worker.advance()


def ended(world: World, first: Machine) -> None:
    world.provider.results_after = 30.0
    in_progress(world, first)
    while world.batch().status != "ended":
        world.clock.advance(2)
        first.worker.advance()


def waiting_for_another_attempt(world: World, first: Machine) -> None:
    for held in world.submit(4):
        world.provider.fates[held].append("overloaded")
    in_progress(world, first)
    while "failed" not in world.statuses():
        world.clock.advance(2)
        first.worker.advance()
    first.worker.plan()
    assert "queued" in world.statuses()


STAGES: dict[Callable[[World, Machine], None], str] = {
    planned: "planned",
    not_sent: "submitting",
    sent_and_not_heard_of: "submitting",
    uncertain: "uncertain",
    uncertain_and_never_made: "uncertain",
    looked_for: "uncertain",
    in_progress: "in_progress",
    ended: "ended",
}


def finish(world: World, *machines: Machine) -> None:
    """Work in turns until nothing is left to do, in true time that is bounded."""
    end = world.clock.monotonic() + BOUND_SECONDS
    rest = 2.0
    while not outstanding(world.ledger).idle:
        assert world.clock.monotonic() < end, (world.batches(), world.statuses())
        before = world.ledger.head()
        for machine in machines:
            machine.work()
        rest = min(rest * 2, 120.0) if world.ledger.head() == before else 2.0
        world.clock.advance(rest)
    assert set(world.statuses()) == {"succeeded"}
    check_all(world.ledger, FakeWitness(world.provider), twins=False)


@pytest.mark.parametrize("jump", JUMPS)
@pytest.mark.parametrize("stage", STAGES, ids=lambda stage: stage.__name__)
def test_the_clock_of_a_machine_is_set(
    world: World, first: Machine, stage: Callable[[World, Machine], None], jump: float
) -> None:
    world.submit(4)
    stage(world, first)
    assert world.batch().status == STAGES[stage]
    first.clock.jump(jump)
    finish(world, first)
    assert world.provider.params_taken.total() == 4


@pytest.mark.parametrize("ahead", JUMPS)
@pytest.mark.parametrize("stage", STAGES, ids=lambda stage: stage.__name__)
def test_two_machines_whose_clocks_differ(
    world: World, first: Machine, stage: Callable[[World, Machine], None], ahead: float
) -> None:
    world.submit(4)
    stage(world, first)
    finish(world, Machine(world, 2, ahead), first)
    assert world.provider.params_taken.total() == 4


@pytest.mark.parametrize("jump", JUMPS)
def test_a_clock_is_set_while_another_attempt_is_waited_for(world: World, first: Machine, jump: float) -> None:
    waiting_for_another_attempt(world, first)
    first.clock.jump(jump)
    finish(world, Machine(world, 2), first)
    assert world.provider.params_taken.total() == 8


@pytest.mark.parametrize("moment", ["hook", "late"])
@pytest.mark.parametrize("ahead", JUMPS)
def test_a_machine_with_another_time_looks_on_while_a_batch_is_sent(
    world: World, first: Machine, ahead: float, moment: str
) -> None:
    """It believes the sender's lease to be long over, or to last for weeks; the sender is none the worse for it."""
    other = Machine(world, 2, ahead)

    def look_on() -> None:
        for _ in range(4):
            world.clock.advance(3)
            other.work()

    world.provider.plan("create", Turn(hook=look_on) if moment == "hook" else Turn(late=look_on))
    world.submit(4)
    planned(world, first)
    first.work()
    finish(world, other, first)
    assert world.provider.params_taken.total() == 4


@pytest.mark.parametrize("jumps", [(HOUR, -HOUR), (40 * DAY, -40 * DAY), (-HOUR, 40 * DAY), (-40 * DAY, HOUR)])
def test_clocks_are_set_again_and_again(world: World, first: Machine, jumps: tuple[float, ...]) -> None:
    second = Machine(world, 2)
    bodies = world.submit(10)
    world.provider.fates[bodies[3]].append("overloaded")
    for jump in jumps * 4:
        world.clock.advance(4)
        for machine in (first, second):
            machine.work()
        first.clock.jump(jump)
        second.clock.jump(-jump)
    finish(world, first, second)
    assert world.provider.params_taken.total() == 11


def test_another_time_zone_is_no_other_time(monkeypatch: pytest.MonkeyPatch) -> None:
    before = SystemClock().now()
    monkeypatch.setenv("TZ", "Pacific/Kiritimati")
    try:
        time.tzset()
        assert time.timezone == -14 * 3_600
        after = SystemClock().now()
    finally:
        monkeypatch.delenv("TZ")
        time.tzset()
    assert "TZ" not in os.environ
    assert after.utcoffset() == before.utcoffset()
    assert 0 <= (after - before).total_seconds() < 600
