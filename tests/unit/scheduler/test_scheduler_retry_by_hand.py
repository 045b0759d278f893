"""What can be opened again by hand, and what is asked before something may be paid for twice."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest

from ledger.events import RequestAbandoned, RequestCanceled, RequestCostUnknown, RequestRetryScheduled
from ledger.purge import purge
from ledger.savings import Period
from ledger.summary import savings
from scheduler.by_hand import (
    MayBePaid,
    NotPossible,
    cancel_request,
    held,
    perhaps_paid,
    retry_request,
    retry_requests,
)
from scheduler.context import request_event
from tests.support.fake_provider import Fate
from tests.support.interrupted import Interrupted
from tests.support.world import World


def ended(world: World, *fates: Fate) -> None:
    """Requests with one attempt each that ended so, and nothing decided about them."""
    for body, fate in zip(world.send(len(fates)), fates, strict=True):
        world.provider.fates[body].append(fate)
    world.clock.advance(11)
    assert world.worker.advance()
    assert world.worker.advance()


def lose(world: World, number: int = 0) -> None:
    """Nobody knows what became of it."""
    row = world.requests()[number]
    world.ledger.append(
        [
            request_event(world.context(), row, RequestCostUnknown(reason="lost")),
            request_event(world.context(), row, RequestAbandoned(reason="lost", attempts=1), ahead=2),
        ]
    )


def failed_requests(world: World) -> int:
    return savings(world.ledger, Period())["requests"]["failed"]


@pytest.mark.parametrize("fate", ["invalid", "overloaded", "expired", "canceled"])
def test_what_ended_without_an_answer_is_sent_again(world: World, fate: Fate) -> None:
    ended(world, fate)
    row = retry_request(world.ledger, world.requests()[0], world.clock.now())
    assert (row.status, row.attempts, row.error_type, row.finished_at) == ("queued", 0, row.error_type, None)
    (data,) = world.recorded(RequestRetryScheduled)
    assert (data.by_hand, data.attempt, data.reason, data.due_at) == (True, 1, "by hand", world.clock.now())
    world.check()
    world.run()
    assert world.statuses() == ["succeeded"]
    assert failed_requests(world) == 0
    world.check()


def test_what_was_given_up_gets_all_its_attempts_again(world: World) -> None:
    (body,) = world.send(1)
    world.provider.fates[body].extend(["overloaded"] * 30)
    world.run()
    assert world.statuses() == ["abandoned"]
    assert failed_requests(world) == 1
    calls = world.provider.calls["create"]
    world.provider.fates[body].clear()
    world.provider.fates[body].extend(["expired"] * 2)
    retry_request(world.ledger, world.requests()[0], world.clock.now())
    world.run()
    assert world.statuses() == ["succeeded"]
    assert world.provider.calls["create"] == calls + 3
    assert failed_requests(world) == 0
    world.check()


def test_one_canceled_before_it_was_sent(world: World) -> None:
    world.submit(2)
    world.plan()
    cancel_request(world.context(), world.requests()[0])
    retry_request(world.ledger, world.requests()[0], world.clock.now())
    world.run()
    assert world.statuses() == ["succeeded"] * 2
    world.check()


def test_one_that_waits_for_its_retry_is_due_now_and_keeps_its_attempts(world: World) -> None:
    ended(world, "overloaded")
    world.worker.plan()
    row = world.requests()[0]
    waiting = RequestRetryScheduled(attempt=2, due_at=world.clock.now() + timedelta(hours=5), reason="overloaded")
    world.ledger.append([request_event(world.context(), row, waiting)])
    row = retry_request(world.ledger, world.requests()[0], world.clock.now())
    assert (row.status, row.attempts) == ("queued", 1)
    world.run(seconds=600)
    assert world.statuses() == ["succeeded"]
    assert world.requests()[0].attempts == 2
    world.check()


def test_one_that_waits_for_a_call_of_its_own_is_due_now_too(world: World) -> None:
    ended(world, "overloaded")
    row = world.requests()[0]
    waiting = RequestRetryScheduled(
        attempt=2, due_at=world.clock.now() + timedelta(hours=5), reason="overloaded", processing="standard"
    )
    world.ledger.append([request_event(world.context(), row, waiting)])
    row = retry_request(world.ledger, world.requests()[0], world.clock.now())
    assert (row.status, row.attempts) == ("fallback", 1)
    with pytest.raises(NotPossible, match="in the queue already"):
        retry_request(world.ledger, row, world.clock.now())


@pytest.mark.parametrize(
    ("steps", "reason"),
    [(0, "is in the queue already"), (1, "is under way already, in batch "), (2, "has succeeded already")],
)
def test_what_is_open_or_answered_is_left_alone(world: World, steps: int, reason: str) -> None:
    world.submit(1)
    if steps:
        world.plan()
    if steps == 2:
        world.run()
    head = world.ledger.head()
    with pytest.raises(NotPossible, match=reason):
        retry_request(world.ledger, world.requests()[0], world.clock.now())
    assert world.ledger.head() == head


def test_what_may_have_been_paid_is_sent_again_only_on_purpose(world: World) -> None:
    ended(world, "overloaded")
    lose(world)
    (row,) = world.requests()
    assert perhaps_paid(world.ledger, [row]) == [row.id]
    head = world.ledger.head()
    with pytest.raises(MayBePaid, match=f"request {row.id} may have been answered .* add --yes"):
        retry_request(world.ledger, row, world.clock.now())
    assert world.ledger.head() == head
    retry_request(world.ledger, row, world.clock.now(), paid_twice=True)
    world.run()
    assert world.statuses() == ["succeeded"]
    world.check()


def test_what_was_purged_cannot_be_sent_again(world: World) -> None:
    ended(world, "invalid", "invalid")
    world.run()
    world.clock.advance(10)
    rows = world.requests()
    assert held(world.ledger, rows) == rows
    purge(world.ledger.database, world.clock.now(), rest=lambda _: None)
    rows = world.requests()
    assert held(world.ledger, rows) == []
    with pytest.raises(NotPossible, match=f"body {rows[0].payload.hex()[:16]}…. were purged; submit it anew"):
        retry_request(world.ledger, rows[0], world.clock.now())
    assert world.statuses() == ["errored"] * 2


def test_several_are_opened_together_or_not_at_all(world: World) -> None:
    ended(world, "invalid", "succeeded", "canceled")
    rows = world.requests()
    with pytest.raises(NotPossible, match="has succeeded already"):
        retry_requests(world.ledger, rows, world.clock.now())
    assert world.statuses() == ["errored", "succeeded", "canceled"]
    opened = retry_requests(world.ledger, [rows[0], rows[2]], world.clock.now())
    assert [row.status for row in opened] == ["queued", "queued"]
    world.run()
    assert world.statuses() == ["succeeded"] * 3
    world.check()


def test_one_that_is_decided_about_at_this_moment(world: World) -> None:
    ended(world, "overloaded")
    ledger: Any = Interrupted(world.ledger, "append", world.worker.plan)
    row = retry_request(ledger, world.requests()[0], world.clock.now())
    assert ledger.happened
    assert row.status == "queued"
    world.run()
    assert world.statuses() == ["succeeded"]
    world.check()


def test_one_that_is_canceled_at_this_moment_is_opened_again(world: World) -> None:
    ended(world, "invalid")
    row = world.requests()[0]

    def meddle() -> None:
        world.ledger.append([request_event(world.context(), row, RequestCanceled())])

    ledger: Any = Interrupted(world.ledger, "append", meddle)
    assert retry_request(ledger, row, world.clock.now()).status == "queued"
    world.check()
