"""Attempts that failed for a passing reason get another one, or are given up."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from ledger.events import RequestAbandoned, RequestFailed, RequestRetryScheduled
from scheduler.context import request_event
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


def test_the_last_attempt_ends_it(world: World) -> None:
    bodies = world.submit(2)
    world.provider.fates[bodies[0]].extend(["expired"] * 9)
    world.run()
    assert world.statuses() == ["abandoned", "succeeded"]
    (data,) = world.recorded(RequestAbandoned)
    assert data.attempts == 3
    assert data.reason.startswith("expired: ")
    assert world.provider.params_taken[bodies[0]] == 3
    world.check()


def test_an_attempt_that_found_no_capacity_does_not_count(new_world: Callable[..., World]) -> None:
    world = new_world(max_refusals=4)
    bodies = world.submit(3)
    world.provider.fates[bodies[0]].extend(["overloaded"] * 4 + ["expired"] * 2)
    world.provider.fates[bodies[1]].extend(["expired", "overloaded", "expired", "overloaded", "expired"])
    world.provider.fates[bodies[2]].extend(["overloaded"] * 99)
    world.run()
    assert world.statuses() == ["succeeded", "abandoned", "abandoned"]
    taken = [world.provider.params_taken[body] for body in bodies]
    # Seven: four for which there was no room, and three that count.
    assert taken == [7, 5, 7]
    first, second = world.recorded(RequestAbandoned)
    assert first.reason.startswith("expired: ")
    assert second.reason.startswith("overloaded_error: ")
    world.check()


def test_refusals_before_it_was_opened_by_hand_are_forgotten(new_world: Callable[..., World]) -> None:
    world = new_world(max_refusals=2)
    (body,) = world.submit()
    world.provider.fates[body].extend(["overloaded"] * 99)
    world.run()
    assert world.provider.params_taken[body] == 5
    (row,) = world.requests()
    again = RequestRetryScheduled(attempt=1, due_at=world.clock.now(), reason="asked for", by_hand=True)
    world.ledger.append([request_event(world.context(), row, again)])
    world.run()
    assert world.provider.params_taken[body] == 10


@pytest.mark.parametrize("fate", ["expired", "overloaded"])
def test_the_last_resort_is_a_standard_call_if_the_policy_says_so(
    new_world: Callable[..., World], fate: Fate
) -> None:
    world = new_world(fallback_to_standard=True, max_refusals=1)
    (body,) = world.submit()
    tries = 3 if fate == "expired" else 4
    world.provider.fates[body].extend([fate] * tries)
    world.run()
    assert world.provider.params_taken[body] == tries
    assert [params for params, _ in world.provider.standard] == [body]
    last = world.recorded(RequestRetryScheduled)[-1]
    assert (last.processing, last.attempt) == ("standard", tries + 1)
    assert world.statuses() == ["succeeded"]
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
