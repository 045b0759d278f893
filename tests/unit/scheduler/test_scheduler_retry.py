"""Attempts that failed for a passing reason get another one, or are given up."""

from __future__ import annotations

from typing import Any

import pytest

from ledger.events import RequestAbandoned, RequestFailed, RequestRetryScheduled
from scheduler.retry import retry
from tests.support.fake_provider import Fate
from tests.support.interrupted import Interrupted
from tests.support.world import World


@pytest.mark.parametrize("fate", ["overloaded", "expired"])
def test_a_passing_failure_is_tried_again(world: World, fate: Fate) -> None:
    (body,) = world.submit()
    world.provider.fates[body].extend([fate, fate])
    world.run()
    (row,) = world.requests()
    assert (row.status, row.attempts, row.error_type) == ("succeeded", 3, None)
    assert [data.attempt for data in world.recorded(RequestRetryScheduled)] == [2, 3]
    assert world.provider.params_taken[body] == 3
    world.check()


@pytest.mark.parametrize(("fate", "kind"), [("overloaded", "overloaded_error"), ("expired", "expired")])
def test_the_last_attempt_ends_it(world: World, fate: Fate, kind: str) -> None:
    bodies = world.submit(2)
    world.provider.fates[bodies[0]].extend([fate] * 9)
    world.run()
    assert world.statuses() == ["abandoned", "succeeded"]
    (data,) = world.recorded(RequestAbandoned)
    assert data.attempts == 3
    assert data.reason.startswith(f"{kind}: ")
    assert world.provider.params_taken[bodies[0]] == 3
    world.check()


@pytest.mark.parametrize("fate", ["invalid", "canceled"])
def test_a_lasting_failure_is_not_tried_again(world: World, fate: Fate) -> None:
    (body,) = world.submit()
    world.provider.fates[body].append(fate)
    world.run()
    assert world.provider.params_taken[body] == 1
    assert world.recorded(RequestRetryScheduled) == []


def test_retries_wait_longer_each_time(world: World) -> None:
    (body,) = world.submit()
    world.provider.fates[body].extend(["overloaded"] * 2)
    world.run()
    log = [event for event in world.ledger.events() if isinstance(event.data, RequestRetryScheduled)]
    first, second = [(event.data.due_at - event.occurred_at).total_seconds() for event in log]  # type: ignore[attr-defined]
    assert 0.8 <= first <= 1.0
    assert 1.8 <= second <= 2.25


def test_two_workers_decide_about_each_failure_once(world: World) -> None:
    bodies = world.send(4)
    for body in bodies[:3]:
        world.provider.fates[body].append("overloaded")
    world.clock.advance(11)
    while world.worker.advance():
        pass
    assert world.statuses().count("failed") == 3
    ledger: Any = Interrupted(world.ledger, "append", lambda: retry(world.context()))
    assert retry(world.context(ledger)) == 0
    assert ledger.happened
    assert len(world.recorded(RequestRetryScheduled)) == 3
    world.run()
    assert len(world.recorded(RequestFailed)) == 3
    assert world.statuses() == ["succeeded"] * 4
    world.check()


def test_nothing_failed(world: World) -> None:
    assert retry(world.context()) == 0
