"""A submission that might cost more than is left of the budget is stopped before it is made."""

from __future__ import annotations

import json
import threading
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any

import msgspec
import pytest

from ledger import Ledger
from ledger.encoding import encode
from ledger.events import (
    BatchCounts,
    BatchEnded,
    BatchFailed,
    BatchResultsCollected,
    BatchSubmissionRefused,
    BatchSubmissionReleased,
    BatchSubmissionStarted,
    BatchSubmitted,
    CacheUsageRecorded,
    EventData,
)
from ledger.projections import BatchRow
from ledger.queries import batch as read_batch
from ledger.turns import Append
from scheduler import Context
from scheduler.budget import BudgetHold, BudgetReached, ModelUnpriced, guard, held, hold, reservation
from scheduler.context import batch_event, request_event
from scheduler.leases import Lease
from scheduler.providers.base import RequestFacts
from tests.support.fake_provider import INPUT_PICO, OUTPUT_PICO
from tests.support.fake_rules import FakeRules
from tests.support.world import World

ITEM = 100 * INPUT_PICO + 256 * OUTPUT_PICO
"""What one item may cost: 100 tokens in, 256 out."""


class EstimatingRules(FakeRules):
    """Every request is of 100 tokens."""

    def check(self, params: dict[str, Any]) -> RequestFacts:
        return msgspec.structs.replace(super().check(params), estimated_input_tokens=100)


@pytest.fixture(autouse=True)
def _estimates(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tests.support.world.FakeRules", EstimatingRules)


@pytest.fixture
def budgeted(new_world: Callable[..., World]) -> Callable[..., World]:
    """A world with a budget of so many items, and batches of two."""

    def budgeted(total: float | None = None, day: float | None = None, url: str | None = None) -> World:
        bounds = {"budget_total": total and int(total * ITEM), "budget_day": day and int(day * ITEM)}
        return new_world(url, max_requests=2, max_age_seconds=0.0, **bounds)

    return budgeted


def planned(world: World, many: int) -> list[BatchRow]:
    world.submit(many, max_tokens=256)
    return world.plan()


def intent(context: Context, batch: BatchRow, reserved: int | None) -> BatchSubmissionStarted:
    return BatchSubmissionStarted(
        nonce=context.nonce(),
        deadline=context.after(15),
        newest_before=None,
        account=msgspec.Raw(b"{}"),
        reserved=reserved,
    )


def send(world: World, batch: BatchRow, context: Context | None = None) -> BatchRow:
    """What a submission commits to before it posts."""
    context = context or world.context()
    batch = read_batch(context.ledger, batch.id)
    reserved = reservation(context, batch)
    event = batch_event(context, batch, intent(context, batch, reserved))
    context.ledger.append([event], guard=guard(context, batch, reserved))
    return read_batch(context.ledger, batch.id)


def say(world: World, batch: BatchRow, *said: EventData) -> BatchRow:
    for data in said:
        world.ledger.append([batch_event(world.context(), read_batch(world.ledger, batch.id), data)])
    return read_batch(world.ledger, batch.id)


def submitted(world: World, number: int) -> BatchSubmitted:
    now = world.clock.now()
    return BatchSubmitted(
        provider_batch_id=f"msgbatch_{number}",
        created_at=now,
        expires_at=now + timedelta(days=1),
        next_poll_at=now,
        nonce=f"{number:016x}",
    )


def billed(world: World, batch: BatchRow, tokens: int) -> None:
    """One item of a batch turns out to have used so many input tokens."""
    row = world.requests()[0]
    usage = CacheUsageRecorded(
        role="duplicate",
        provider="anthropic",
        model=row.model,
        processing="batch",
        billed_at=world.clock.now(),
        usage=msgspec.Raw(json.dumps({"input_tokens": tokens, "output_tokens": 0}).encode()),
    )
    world.ledger.append([request_event(world.context(), row, usage)])


def lease_on(world: World, batch: BatchRow) -> Lease:
    lease = world.worker.leases.acquire(batch.id)
    assert lease is not None
    return lease


def test_what_a_batch_may_cost_is_its_input_and_all_of_its_output(world: World) -> None:
    world.submit(3, max_tokens=256)
    (batch,) = world.plan()
    assert reservation(world.context(), batch) == 3 * ITEM


def test_without_a_budget_anything_may_be_sent(world: World) -> None:
    world.submit(3, max_tokens=256, model="claude-of-tomorrow")
    (batch,) = world.plan()
    assert reservation(world.context(), batch) is None
    assert send(world, batch).reserved is None


def test_reservations_add_up_to_the_budget_and_no_further(budgeted: Callable[..., World]) -> None:
    world = budgeted(5)
    first, second, third = planned(world, 6)
    assert send(world, first).reserved == 2 * ITEM
    send(world, second)
    with pytest.raises(BudgetReached) as reached:
        send(world, third)
    error = reached.value
    assert (error.spent, error.reserved, error.wanted, error.budget) == (0, 4 * ITEM, 2 * ITEM, 5 * ITEM)
    assert (error.room, error.resets) == (ITEM, None)
    assert str(error) == (
        "budget reached: $0 of $0.01035 spent, $0.00828 reserved, this batch may cost up to $0.00414; "
        "raise LLM_LEDGER_BUDGET_USD to go on with it"
    )
    assert read_batch(world.ledger, third.id).status == "planned"


def test_a_budget_can_be_spent_to_the_last_digit(budgeted: Callable[..., World]) -> None:
    world = budgeted(4)
    first, second, third = planned(world, 6)
    send(world, first)
    send(world, second)
    with pytest.raises(BudgetReached):
        send(world, third)


@pytest.mark.parametrize(
    "freed",
    [
        BatchSubmissionRefused(reason="429", due_at=datetime(2026, 1, 1, tzinfo=UTC)),
        BatchSubmissionReleased(reason="never there"),
        BatchFailed(reason="halved"),
    ],
)
def test_what_is_not_sent_after_all_is_freed(budgeted: Callable[..., World], freed: EventData) -> None:
    world = budgeted(2)
    first, second = planned(world, 4)
    say(world, send(world, first), freed)
    send(world, second)


def test_what_was_sent_without_a_reservation_is_estimated(budgeted: Callable[..., World]) -> None:
    world = budgeted(3)
    first, second = planned(world, 4)
    context = world.context()
    say(world, first, intent(context, first, None), submitted(world, 1))
    with pytest.raises(BudgetReached) as reached:
        send(world, second)
    assert reached.value.reserved == 2 * ITEM


def test_actual_cost_takes_the_place_of_the_reservation(budgeted: Callable[..., World]) -> None:
    world = budgeted(2)
    first, second, third = planned(world, 6)
    sent = say(world, send(world, first), submitted(world, 1))
    billed(world, sent, 1)
    with pytest.raises(BudgetReached) as reached:
        send(world, second)
    assert (reached.value.spent, reached.value.reserved) == (INPUT_PICO, 2 * ITEM)
    ended = BatchEnded(ended_at=world.clock.now(), counts=BatchCounts())
    say(world, sent, ended, BatchResultsCollected(lines=2))
    world.policy = msgspec.structs.replace(world.policy, budget_total=2 * ITEM + INPUT_PICO)
    say(world, send(world, second), BatchSubmissionReleased(reason="never there"))
    billed(world, sent, 1)
    with pytest.raises(BudgetReached):
        send(world, third)


def test_the_next_day_has_a_budget_of_its_own(budgeted: Callable[..., World]) -> None:
    world = budgeted(day=2)
    first, second, third = planned(world, 6)
    sent = say(world, send(world, first), submitted(world, 1))
    billed(world, sent, 100)
    with pytest.raises(BudgetReached) as reached:
        send(world, second)
    midnight = world.clock.now().replace(hour=0, minute=0, second=0, microsecond=0) + timedelta(days=1)
    assert reached.value.resets == midnight
    assert "a day spent" in str(reached.value)
    assert "goes on at 00:00 UTC" in str(reached.value)
    world.clock.advance((midnight - world.clock.now()).total_seconds())
    send(world, second)
    with pytest.raises(BudgetReached) as reached:
        send(world, third)
    assert reached.value.spent == 0


def test_what_may_have_been_made_on_either_day_counts_in_both(budgeted: Callable[..., World]) -> None:
    world = budgeted(day=2)
    first, second = planned(world, 4)
    send(world, first)
    world.clock.advance(86_400)
    with pytest.raises(BudgetReached):
        send(world, second)


def test_days_are_those_of_the_provider(budgeted: Callable[..., World]) -> None:
    world = budgeted(day=2)
    first, second = planned(world, 4)
    world.provider.newest_batch()
    sent = say(world, send(world, first), submitted(world, 1))
    billed(world, sent, 100)
    world.clock.jump(40 * 86_400)
    with pytest.raises(BudgetReached):
        send(world, second)


def test_both_bounds_hold(budgeted: Callable[..., World]) -> None:
    world = budgeted(total=100, day=2)
    first, second = planned(world, 4)
    send(world, first)
    with pytest.raises(BudgetReached) as reached:
        send(world, second)
    assert reached.value.budget == 2 * ITEM
    world.policy = msgspec.structs.replace(world.policy, budget_total=3 * ITEM, budget_day=100 * ITEM)
    with pytest.raises(BudgetReached) as reached:
        send(world, second)
    assert reached.value.resets is None


def test_a_repeated_append_does_not_stand_in_its_own_way(budgeted: Callable[..., World]) -> None:
    world = budgeted(2)
    (batch,) = planned(world, 2)
    context = world.context()
    event = batch_event(context, batch, intent(context, batch, 2 * ITEM))
    check = guard(context, batch, 2 * ITEM)
    assert context.ledger.append([event], guard=check) == context.ledger.append([event], guard=check)


def test_appends_of_one_transaction_see_each_other(budgeted: Callable[..., World]) -> None:
    world = budgeted(3)
    context = world.context()
    appends = [
        Append(
            encode([batch_event(context, batch, intent(context, batch, 2 * ITEM))]),
            [],
            guard(context, batch, 2 * ITEM),
        )
        for batch in planned(world, 4)
    ]
    world.ledger.append_all(appends)
    assert sorted(type(append.refusal).__name__ for append in appends) == ["BudgetReached", "NoneType"]


@pytest.mark.parametrize("shared", [True, False])
def test_many_workers_never_reach_beyond_it(
    budgeted: Callable[..., World], shared_world: World, shared: bool
) -> None:
    world = budgeted(7, url=shared_world.ledger.database.url)
    batches = planned(world, 24)
    start = threading.Barrier(4)
    sent: list[str] = []
    unforeseen: list[Exception] = []

    def work(mine: list[BatchRow]) -> None:
        ledger = world.ledger if shared else Ledger.open(world.ledger.database.url, clock=world.clock)
        try:
            start.wait()
            for batch in mine:
                try:
                    sent.append(send(world, batch, world.context(ledger)).id)
                except BudgetReached:
                    continue
        except Exception as error:
            unforeseen.append(error)
        finally:
            if not shared:
                ledger.close()

    threads = [threading.Thread(target=work, args=(batches[number::4],)) for number in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert unforeseen == []
    assert len(sent) == 3
    assert sum(batch.reserved or 0 for batch in world.batches()) == 6 * ITEM


def test_as_much_of_a_batch_as_fits_becomes_a_batch_of_its_own(budgeted: Callable[..., World]) -> None:
    world = budgeted(1.5)
    (batch,) = planned(world, 2)
    with pytest.raises(BudgetReached) as reached:
        send(world, batch)
    lease = lease_on(world, batch)
    hold(world.context(), batch, lease, reached.value)
    _, first, second = world.batches()
    assert [(one.status, one.request_count) for one in (first, second)] == [("planned", 1), ("planned", 1)]
    assert [row.attempts for row in world.requests()] == [1, 1]
    assert send(world, first).reserved == ITEM
    with pytest.raises(BudgetReached) as reached:
        send(world, second)
    with pytest.raises(BudgetReached):
        hold(world.context(), second, lease_on(world, second), reached.value)
    assert len(world.batches()) == 3
    assert [one.id for one in held(world.ledger)] == [second.id]
    assert (read_batch(world.ledger, second.id).note or "").startswith("budget reached: $0 of ")


def test_what_waits_says_so_once(budgeted: Callable[..., World]) -> None:
    world = budgeted(0.5)
    (batch,) = planned(world, 2)
    lease = lease_on(world, batch)
    for _ in range(3):
        with pytest.raises(BudgetReached) as reached:
            send(world, batch)
        with pytest.raises(BudgetReached):
            hold(world.context(), read_batch(world.ledger, batch.id), lease, reached.value)
    assert len(world.recorded(BatchSubmissionRefused)) == 1
    assert world.until_due() <= 0


def test_a_model_without_a_price_waits_by_itself(budgeted: Callable[..., World]) -> None:
    world = budgeted(100)
    world.submit(1, max_tokens=256, model="claude-of-tomorrow")
    (batch,) = planned(world, 1)
    with pytest.raises(ModelUnpriced) as unpriced:
        send(world, batch)
    assert unpriced.value.models == ("claude-of-tomorrow",)
    hold(world.context(), batch, lease_on(world, batch), unpriced.value)
    _, priced, other = world.batches()
    send(world, priced)
    with pytest.raises(ModelUnpriced) as unpriced:
        send(world, other)
    with pytest.raises(BudgetHold):
        hold(world.context(), other, lease_on(world, other), unpriced.value)
    note = read_batch(world.ledger, other.id).note
    assert note == (
        "budget unknown: no price is known for claude-of-tomorrow; upgrade llm-ledger for newer prices, or unset "
        "LLM_LEDGER_BUDGET_USD to send it without a bound"
    )
    assert [one.id for one in held(world.ledger)] == [other.id]
