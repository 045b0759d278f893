"""The provider is asked how a batch is doing, ever less often."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest

from ledger.errors import ProviderRefused, ProviderUnreachable
from ledger.events import BatchCancelRequested, BatchCounts, BatchEnded, BatchPolled
from scheduler.context import batch_event
from scheduler.providers.base import BatchStatus
from tests.support.fake_provider import OTHERS, OURS, Turn
from tests.support.world import World


def test_every_answer_is_recorded_and_says_when_to_ask_again(world: World) -> None:
    world.provider.batch_seconds = 60.0
    world.send(2)
    while world.batch().status == "in_progress":
        world.clock.advance(world.until_due())
        assert world.worker.advance()
    log = [event for event in world.ledger.events() if isinstance(event.data, BatchPolled)]
    delays = [(event.data.next_poll_at - event.occurred_at).total_seconds() for event in log]  # type: ignore[attr-defined]
    assert delays[0] <= 1.0
    assert max(delays) > 6.4
    assert all(delay <= 8.0 for delay in delays)
    assert {event.data.state for event in log[:-1]} == {"in_progress"}  # type: ignore[attr-defined]
    assert log[0].data.counts == BatchCounts(processing=2)  # type: ignore[attr-defined]
    assert len(log) < 16


def test_the_end_is_recorded_with_its_counts(world: World) -> None:
    bodies = world.send(4)
    world.provider.fates[bodies[0]].append("expired")
    world.provider.fates[bodies[1]].append("invalid")
    world.clock.advance(10)
    assert world.worker.advance()
    (data,) = world.recorded(BatchEnded)
    assert data.counts == BatchCounts(succeeded=2, errored=1, expired=1)
    assert data.ended_at == world.provider.batches[0].ends_at
    assert world.names()[-2:] == ["batch.polled", "batch.ended"]
    assert world.batch().status == "ended"


def test_a_batch_that_is_being_canceled_is_followed_to_its_end(world: World) -> None:
    world.send(2)
    held = world.provider.batches[0]
    world.clock.advance(1)
    answer = world.provider.retrieve(held.id)
    retrieve = world.provider.retrieve
    canceling = BatchStatus(
        **{name: getattr(answer, name) for name in answer.__struct_fields__} | {"state": "canceling"}
    )
    told: Any = lambda _: canceling  # noqa: E731
    world.provider.retrieve = told  # type: ignore[method-assign]
    assert world.worker.advance()
    assert world.batch().status == "canceling"
    world.provider.retrieve = retrieve  # type: ignore[method-assign]
    world.provider.cancel(held.id)
    world.run()
    assert world.statuses() == ["canceled"] * 2
    world.check()


def test_an_end_without_an_instant_is_now(world: World) -> None:
    world.send()
    world.clock.advance(20)
    answer = world.provider.retrieve(world.provider.batches[0].id)
    fields = {name: getattr(answer, name) for name in answer.__struct_fields__}
    told: Any = lambda _: BatchStatus(**fields | {"ended_at": None})  # noqa: E731
    world.provider.retrieve = told  # type: ignore[method-assign]
    assert world.worker.advance()
    assert world.recorded(BatchEnded)[0].ended_at == world.clock.now()


@pytest.mark.parametrize(
    "error",
    [
        ProviderUnreachable("no connection"),
        ProviderRefused("401: wrong key", status=401, kind="authentication_error"),
        ProviderRefused("404: no such batch", status=404, kind="not_found_error"),
    ],
)
def test_a_question_that_fails_is_asked_again(world: World, error: Exception) -> None:
    world.send()
    world.provider.plan("retrieve", error)
    world.clock.advance(5)
    assert world.worker.advance()
    (data,) = world.recorded(BatchPolled)
    assert (data.problem, data.state, data.counts) == (str(error), None, None)
    assert data.next_poll_at > world.clock.now()
    assert world.worker.health.error is error
    world.run()
    assert world.statuses() == ["succeeded"]
    assert world.worker.health.error is None


def test_a_batch_that_does_not_show_at_once_is_waited_for(world: World) -> None:
    world.provider.visible_after = 30.0
    world.submit(2)
    world.run()
    assert world.statuses() == ["succeeded"] * 2
    assert world.provider.calls["create"] == 1


def test_another_account_is_not_asked(world: World) -> None:
    world.send()
    world.provider.account_in_use = OTHERS
    world.clock.advance(5)
    assert world.worker.advance()
    assert world.provider.calls["retrieve"] == 0
    (data,) = world.recorded(BatchPolled)
    assert data.next_poll_at == world.clock.now()
    assert not world.worker.advance()
    world.provider.account_in_use = OURS
    world.run()
    assert world.statuses() == ["succeeded"]


def test_the_providers_clock_goes_on_record(world: World) -> None:
    world.send()
    world.clock.advance(5)
    assert world.worker.advance()
    (data,) = world.recorded(BatchPolled)
    assert data.provider_time == world.clock.now()


def cancel_requested(world: World) -> None:
    """On record; the provider was not told."""
    data = BatchCancelRequested(reason="by hand")
    world.ledger.append([batch_event(world.context(), world.batch(), data)])


def test_a_batch_that_is_to_stop_and_works_on_is_told_so_again(world: World) -> None:
    world.provider.batch_seconds = 600.0
    world.send(2)
    cancel_requested(world)
    world.provider.plan("cancel", ProviderUnreachable("no connection"))
    assert world.worker.advance()
    assert world.batch().status == "canceling"
    assert world.batch().note == "no connection"
    world.run(seconds=60)
    assert world.statuses() == ["canceled"] * 2
    assert world.provider.calls["cancel"] == 2
    world.check()


def test_one_that_is_stopping_already_is_not_told_again(world: World) -> None:
    world.provider.batch_seconds = 600.0
    world.send(2)
    cancel_requested(world)
    stopping = Turn(restate=lambda status: msgspec.structs.replace(status, state="canceling"))
    world.provider.plan("retrieve", stopping)
    assert world.worker.advance()
    assert world.provider.calls["cancel"] == 0


def test_one_that_ends_before_it_is_told_is_collected(world: World) -> None:
    world.provider.batch_seconds = 20.0
    world.send(2)
    cancel_requested(world)
    refused = ProviderRefused("400: it has ended", status=400, kind="invalid_request_error")
    world.provider.plan("cancel", *[refused] * 20)
    assert world.worker.advance()
    assert world.batch().note == "it could not be canceled: 400: it has ended"
    assert world.worker.health.error is None
    world.run()
    assert world.statuses() == ["succeeded"] * 2
    world.check()


def test_counts_that_change_are_said_and_change_nothing(world: World) -> None:
    world.send(3)
    wrong = Turn(restate=lambda status: msgspec.structs.replace(status, processing=5))
    world.provider.plan("retrieve", wrong)
    world.clock.advance(2)
    assert world.worker.advance()
    assert world.batch().note == "the provider counts 5 items, it was sent 3"
    world.run()
    assert world.statuses() == ["succeeded"] * 3
    assert world.batch().note is None
    world.check()


def test_counts_that_the_results_do_not_bear_out_are_in_the_note_of_the_batch(world: World) -> None:
    world.send(3)
    wrong = Turn(restate=lambda status: msgspec.structs.replace(status, succeeded=1, expired=2))
    world.provider.plan("retrieve", wrong)
    world.clock.advance(11)
    world.run()
    assert world.statuses() == ["succeeded"] * 3
    assert world.batch().note == "the provider counted 1 succeeded, 2 expired, its results hold 3 succeeded"
    world.check()
