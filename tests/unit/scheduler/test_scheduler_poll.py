"""The provider is asked how a batch is doing, ever less often."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest

from ledger.errors import ProviderRefused, ProviderUnreachable
from ledger.events import BatchCounts, BatchEnded, BatchPolled
from scheduler.providers.base import BatchStatus
from tests.support.fake_provider import OTHERS, OURS
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
    assert timedelta(seconds=48) <= data.next_poll_at - world.clock.now() <= timedelta(seconds=60)
    assert not world.worker.advance()
    world.provider.account_in_use = OURS
    world.run()
    assert world.statuses() == ["succeeded"]
