"""Standard calls: the last resort of a request, made once, and never again where nobody knows how it went."""

from __future__ import annotations

import threading
from collections.abc import Callable
from datetime import timedelta
from typing import Any

import msgspec
import pytest

from ledger.errors import DatabaseUnavailable, ProviderRefused, ProviderUnreachable
from ledger.events import (
    CacheUsageRecorded,
    RequestAbandoned,
    RequestCallStarted,
    RequestCostUnknown,
    RequestRetryScheduled,
    RequestSucceeded,
)
from ledger.projections import RequestRow
from scheduler import Worker
from scheduler.budget import BudgetReached, ModelUnpriced
from scheduler.by_hand import retry_request
from scheduler.context import request_event
from scheduler.held import STANDARD_CALLS
from scheduler.providers.base import Account, CapacityRefused, SubmissionUncertain
from tests.support.fake_provider import Turn
from tests.support.world import World

SILENT = ProviderUnreachable("no connection")
UNKNOWN = SubmissionUncertain("504: timeout")


def dies() -> None:
    raise KeyboardInterrupt


@pytest.fixture
def world(new_world: Callable[..., World]) -> World:
    return new_world(fallback_to_standard=True, max_attempts=1, call_deadline_seconds=30.0)


def waiting(world: World, many: int = 1, **params: Any) -> list[bytes]:
    """Requests whose attempts in a batch are exhausted."""
    bodies = world.submit(many, **params)
    for body in bodies:
        world.provider.fates[body].appendleft("expired")
    while set(world.statuses()) != {"fallback"}:
        world.clock.advance(11)
        world.worker.plan()
        world.worker.advance()
        world.worker.plan()
    return bodies


def only(world: World) -> RequestRow:
    (row,) = world.requests()
    return row


def events_of(world: World, row: RequestRow) -> list[str]:
    return [event.type for event in world.log(f"request/{row.id}")]


def drain(world: World) -> None:
    while world.worker.advance():
        pass


def test_the_answer_is_recorded_as_that_of_a_standard_call(world: World) -> None:
    (body,) = waiting(world)
    drain(world)
    row = only(world)
    assert (row.status, row.attempts, row.due_at) == ("succeeded", 2, None)
    assert [params for params, _ in world.provider.standard] == [body]
    assert events_of(world, row)[-3:] == ["request.call_started", "request.succeeded", "cache_usage.recorded"]
    (answered,) = world.recorded(RequestSucceeded)
    (usage,) = world.recorded(CacheUsageRecorded)
    assert (answered.processing, answered.batch_id) == ("standard", None)
    assert (usage.role, usage.processing, usage.billed_at) == ("result", "standard", world.provider.provider_time())
    assert row.result is not None
    assert world.ledger.payload(row.result).startswith(b'{"type": "succeeded", "message"')
    world.check()


def test_the_intent_is_on_record_before_the_call(world: World) -> None:
    waiting(world)
    seen: list[str] = []
    world.provider.plan("call", Turn(hook=lambda: seen.append(only(world).status)))
    drain(world)
    assert seen == ["calling"]
    (intent,) = world.recorded(RequestCallStarted)
    assert intent.attempt == 2
    assert msgspec.json.decode(intent.account, type=Account) == world.provider.account()
    assert intent.deadline - world.log(f"request/{only(world).id}")[-3].occurred_at == timedelta(seconds=30)


def test_batches_come_first(world: World) -> None:
    waiting(world)
    world.submit(4)
    world.worker.plan()
    assert world.worker.advance()
    assert world.provider.calls["call"] == 0
    assert world.worker.advance()
    assert world.provider.calls["call"] == 1


def test_without_the_policy_nothing_is_called(new_world: Callable[..., World]) -> None:
    world = new_world(max_attempts=1)
    (body,) = world.submit()
    world.provider.fates[body].append("expired")
    world.run()
    assert world.statuses() == ["abandoned"]
    assert world.provider.calls["call"] == 0


def test_params_that_are_refused_end_it(world: World) -> None:
    (body,) = waiting(world)
    world.provider.fates[body].append("invalid")
    drain(world)
    row = only(world)
    assert (row.status, row.error_type) == ("errored", "invalid_request_error")
    assert row.result is not None
    assert b'"errored"' in world.ledger.payload(row.result)
    world.check()


@pytest.mark.parametrize("refusal", [CapacityRefused("429", 45.0), CapacityRefused("529"), SILENT])
def test_where_nothing_was_done_it_is_tried_again_and_does_not_count(world: World, refusal: Exception) -> None:
    waiting(world, 2)
    world.provider.plan("call", refusal, refusal)
    drain(world)
    assert world.statuses() == ["fallback", "fallback"]
    assert world.provider.calls["call"] == 1
    again = world.recorded(RequestRetryScheduled)[-1]
    assert (again.processing, again.attempt, again.reason) == ("standard", 2, str(refusal))
    pause = refusal.retry_after if isinstance(refusal, CapacityRefused) else None
    world.clock.advance((pause or 1.0) - 0.5)
    drain(world)
    assert world.provider.calls["call"] == 1
    world.run()
    assert world.statuses() == ["succeeded", "succeeded"]
    assert {data.attempt for data in world.recorded(RequestCallStarted)} == {2}
    assert [row.attempts for row in world.requests()] == [2, 2]
    world.check()


def test_no_capacity_for_calls_holds_up_no_batch(world: World) -> None:
    waiting(world)
    world.provider.plan("call", CapacityRefused("429", 3_600.0))
    drain(world)
    world.submit(4)
    world.worker.plan()
    assert world.worker.advance()
    assert world.statuses()[1:] == ["batched"] * 4
    assert not world.worker.health.paused


def test_a_credential_that_is_refused_concerns_all(world: World) -> None:
    waiting(world)
    world.provider.plan("call", ProviderRefused("401: wrong key", status=401, kind="authentication_error"))
    drain(world)
    assert world.worker.health.refused
    assert world.worker.health.paused
    assert world.statuses() == ["fallback"]
    world.run()
    assert world.statuses() == ["succeeded"]
    world.check()


@pytest.mark.parametrize("turn", [Turn(lose=UNKNOWN), Turn(refuse=UNKNOWN)], ids=["billed", "not billed"])
def test_an_uncertain_outcome_is_never_repeated(world: World, turn: Turn) -> None:
    waiting(world)
    world.provider.plan("call", turn)
    drain(world)
    row = only(world)
    assert row.status == "abandoned"
    said = row.error_message or ""
    assert said.startswith("504: timeout; it may have been answered and paid")
    assert f"`llm-ledger retry {row.id}`" in said
    assert len(world.recorded(RequestCostUnknown)) == 1
    world.clock.advance(86_400)
    drain(world)
    assert world.provider.calls["call"] == 1


def test_the_worker_pauses_its_calls_where_they_come_to_nothing(world: World) -> None:
    waiting(world, 3)
    world.provider.plan("call", UNKNOWN, UNKNOWN, UNKNOWN)
    drain(world)
    assert world.provider.calls["call"] == 1
    assert sorted(world.statuses()) == ["abandoned", "fallback", "fallback"]


def test_a_caller_that_died_leaves_it_uncertain(world: World) -> None:
    waiting(world)
    world.provider.plan("call", Turn(hook=dies))
    with pytest.raises(KeyboardInterrupt):
        world.worker.advance()
    other = world.another_worker()
    world.clock.advance(29.9)
    assert not other.advance()
    world.clock.advance(0.1)
    assert other.advance()
    assert only(world).status == "abandoned"
    assert (only(world).error_message or "").startswith("its caller ended while calling; it may have been answered")
    assert len(world.recorded(RequestCostUnknown)) == 1
    assert not other.advance()


def test_an_answer_that_comes_after_its_request_was_given_up_is_paid_all_the_same(world: World) -> None:
    waiting(world)
    other = world.another_worker()

    def late() -> None:
        world.clock.advance(30)
        assert other.advance()

    world.provider.plan("call", Turn(late=late))
    drain(world)
    assert only(world).status == "abandoned"
    (usage,) = world.recorded(CacheUsageRecorded)
    assert (usage.role, usage.processing) == ("duplicate", "standard")
    world.check()


def test_an_answer_that_comes_after_a_person_asked_again_is_the_answer(world: World) -> None:
    waiting(world)
    other = world.another_worker()

    def late() -> None:
        world.clock.advance(30)
        assert other.advance()
        again = RequestRetryScheduled(attempt=1, due_at=world.clock.now(), reason="asked for", by_hand=True)
        world.ledger.append([request_event(world.context(), only(world), again)])

    world.provider.plan("call", Turn(late=late))
    drain(world)
    assert only(world).status == "succeeded"
    world.run()
    assert world.provider.params_taken.total() == 1
    world.check()


def test_a_worker_does_not_give_up_its_own_call_whatever_its_clock_says(world: World) -> None:
    waiting(world)

    def jump() -> None:
        world.clock.jump(3_600)
        assert not world.worker.advance()

    world.provider.plan("call", Turn(late=jump))
    drain(world)
    assert only(world).status == "succeeded"


def test_who_slept_between_intent_and_call_does_not_call(world: World) -> None:
    waiting(world)
    world.provider.plan("call", Turn(hook=lambda: world.clock.advance(15)))
    drain(world)
    assert only(world).status == "fallback"
    assert world.provider.standard == []
    assert world.recorded(RequestRetryScheduled)[-1].reason.endswith("nothing was sent")
    world.run()
    assert len(world.provider.standard) == 1
    world.check()


@pytest.mark.parametrize("stored", [False, True])
def test_an_answer_is_kept_while_the_database_is_away(
    world: World, monkeypatch: pytest.MonkeyPatch, stored: bool
) -> None:
    waiting(world)
    append = world.ledger.append
    failures = [DatabaseUnavailable("restarted")] * 2

    def flaky(events: Any, **options: Any) -> list[int]:
        events = list(events)
        if failures and any(isinstance(event.data, RequestSucceeded) for event in events):
            if stored:
                append(events, **options)
            raise failures.pop()
        return append(events, **options)

    monkeypatch.setattr(world.ledger, "append", flaky)
    for _ in range(2):
        with pytest.raises(DatabaseUnavailable):
            world.worker.advance()
    # The deadline is over meanwhile; this worker knows better.
    world.clock.advance(60)
    assert world.worker.advance()
    assert not world.worker.advance()
    assert only(world).status == "succeeded"
    assert [data.role for data in world.recorded(CacheUsageRecorded)] == ["result"]
    assert world.provider.calls["call"] == 1
    world.check()


@pytest.mark.parametrize("fate", ["no_usage", "odd_usage"])
def test_an_answer_whose_usage_cannot_be_read_is_an_answer(world: World, fate: Any) -> None:
    (body,) = waiting(world)
    world.provider.fates[body].append(fate)
    drain(world)
    assert only(world).status == "succeeded"
    (unknown,) = world.recorded(RequestCostUnknown)
    assert "usage" in unknown.reason


def test_workers_make_each_call_once(shared_world: World) -> None:
    world = shared_world
    world.policy = msgspec.structs.replace(world.policy, fallback_to_standard=True, max_attempts=1)
    bodies = waiting(world, 12)
    start = threading.Barrier(3)

    def work(worker: Worker) -> None:
        start.wait()
        while worker.advance():
            pass

    threads = [threading.Thread(target=work, args=(world.another_worker(),)) for _ in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    drain(world)
    assert sorted(params for params, _ in world.provider.standard) == sorted(bodies)
    assert world.statuses() == ["succeeded"] * 12
    world.check()


def test_a_call_counts_against_the_budget(world: World) -> None:
    waiting(world, 2)
    world.policy = msgspec.structs.replace(world.policy, budget_total=16 * 15_000_000)
    other = world.another_worker()
    world.provider.plan("call", Turn(hook=lambda: other.advance()))
    drain(world)
    error = other.held.errors[STANDARD_CALLS]
    assert isinstance(error, BudgetReached)
    assert (error.reserved, error.wanted) == (16 * 15_000_000, 16 * 15_000_000)
    assert "this call may cost up to" in str(error)
    assert sorted(world.statuses()) == ["fallback", "succeeded"]
    assert world.provider.calls["call"] == 1
    # Nothing more is tried for a minute, whatever else waits.
    assert not other.advance()
    world.policy = msgspec.structs.replace(world.policy, budget_total=10**12)
    world.clock.advance(60)
    assert other.advance()
    assert world.statuses() == ["succeeded"] * 2
    world.check()


def test_a_model_without_a_price_holds_up_no_other(world: World) -> None:
    waiting(world, 1, model="claude-of-tomorrow")
    unpriced = only(world)
    world.policy = msgspec.structs.replace(world.policy, budget_total=10**12)
    bodies = world.submit(1)
    world.provider.fates[bodies[0]].append("expired")
    for _ in range(40):
        world.clock.advance(1)
        world.worker.tick()
    assert world.statuses() == ["fallback", "succeeded"]
    assert isinstance(world.worker.held.errors[unpriced.id], ModelUnpriced)


def test_the_day_of_a_call_is_asked_for_where_the_clocks_disagree(world: World) -> None:
    waiting(world)
    world.policy = msgspec.structs.replace(world.policy, budget_day=10**12)
    asked = world.provider.calls["newest_batch"]
    world.clock.advance(86_400)
    drain(world)
    assert world.provider.calls["newest_batch"] == asked + 1
    assert only(world).status == "succeeded"
    assert [data.reason for data in world.recorded(RequestAbandoned)] == []


def test_an_answer_that_comes_when_its_request_is_in_a_batch_again_is_a_duplicate(
    new_world: Callable[..., World],
) -> None:
    world = new_world(fallback_to_standard=True, max_attempts=1, call_deadline_seconds=30.0)
    waiting(world)
    other = world.another_worker()

    def late() -> None:
        world.clock.advance(31)
        while other.advance():
            pass
        (row,) = world.requests()
        assert row.status == "abandoned"
        retry_request(world.ledger, row, world.clock.now(), paid_twice=True)
        world.submit(2, n=7)
        world.clock.advance(11)
        other.plan()

    world.provider.plan("call", Turn(late=late))
    world.worker.advance()
    assert world.batches()[-1].request_count == 3
    world.run()
    assert world.statuses() == ["succeeded"] * 3
    world.check()
