"""What can be canceled by hand, how, and what is said of the rest."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from ledger import Ledger
from ledger.errors import ProviderError, ProviderUnreachable, VersionConflict
from ledger.events import BatchCancelRequested, BatchFailed, RequestBatched, RequestCanceled
from scheduler.by_hand import NotPossible, cancel_batch, cancel_request
from scheduler.by_hand.refusals import Busy
from scheduler.providers.base import SubmissionUncertain
from tests.support.fake_provider import OTHERS, OURS, Turn
from tests.support.interrupted import Interrupted
from tests.support.world import World


def test_a_waiting_request_is_canceled_at_once(world: World) -> None:
    world.submit(2)
    row = cancel_request(world.context(), world.requests()[0], "not needed any more")
    assert row.status == "canceled"
    assert world.recorded(RequestCanceled) == [RequestCanceled(reason="not needed any more")]
    world.run()
    assert world.statuses() == ["canceled", "succeeded"]
    world.check()


@pytest.mark.parametrize("fate", ["overloaded", "expired"])
def test_one_whose_attempt_failed_is_not_tried_again(world: World, fate: Any) -> None:
    (body,) = world.send(1)
    world.provider.fates[body].append(fate)
    world.clock.advance(11)
    assert world.worker.advance()
    assert world.worker.advance()
    assert cancel_request(world.context(), world.requests()[0]).status == "canceled"
    world.run()
    assert world.provider.calls["create"] == 1
    world.check()


def test_one_that_waits_for_its_next_attempt_is_not_tried_again_either(world: World) -> None:
    (body,) = world.send(1)
    world.provider.fates[body].append("overloaded")
    world.clock.advance(11)
    world.worker.tick()
    world.worker.tick()
    assert world.statuses() == ["queued"]
    assert cancel_request(world.context(), world.requests()[0]).status == "canceled"
    world.run()
    assert world.provider.calls["create"] == 1
    world.check()


def test_one_leaves_its_planned_batch_and_the_others_travel_without_it(world: World) -> None:
    bodies = world.submit(4)
    (planned,) = world.plan()
    row = cancel_request(world.context(), world.requests()[1])
    assert row.status == "canceled"
    failed, anew = world.batches()
    assert (failed.id, failed.status, failed.due_at) == (planned.id, "failed", None)
    assert failed.note == "request r1 was canceled; its other requests are planned anew"
    assert (anew.status, anew.request_count) == ("planned", 3)
    assert [other.batch_id for other in world.requests() if other.status == "batched"] == [anew.id] * 3
    assert [data.attempt for data in world.recorded(RequestBatched)] == [1] * 7
    world.run()
    assert world.statuses() == ["succeeded", "canceled", "succeeded", "succeeded"]
    assert [item.params for item in world.provider.batches[0].items] == [bodies[0], *bodies[2:]]
    world.check()


def test_the_last_one_of_a_planned_batch_leaves_nothing_to_send(world: World) -> None:
    world.submit(1)
    world.plan()
    cancel_request(world.context(), world.requests()[0])
    world.run()
    assert world.batch().status == "failed"
    assert world.provider.calls["create"] == 0
    world.check()


def test_single_items_of_a_submitted_batch_cannot_be_canceled(world: World) -> None:
    world.send(3)
    head = world.ledger.head()
    with pytest.raises(NotPossible, match=f"one of 3 items .* `llm-ledger cancel {world.batch().id}`"):
        cancel_request(world.context(), world.requests()[0])
    assert world.ledger.head() == head


def test_one_in_a_batch_whose_submission_is_uncertain_has_to_wait(world: World) -> None:
    world.provider.plan("create", SubmissionUncertain("500"))
    world.send(2)
    with pytest.raises(NotPossible, match="which is uncertain; wait"):
        cancel_request(world.context(), world.requests()[0])
    with pytest.raises(NotPossible, match="is uncertain: whether the provider has it is not known yet"):
        cancel_batch(world.context(), world.batch())


def test_what_has_ended_stays_as_it_is(world: World) -> None:
    world.send(1)
    world.run()
    with pytest.raises(NotPossible, match="has ended already: succeeded"):
        cancel_request(world.context(), world.requests()[0])
    with pytest.raises(NotPossible, match="has ended already: collected"):
        cancel_batch(world.context(), world.batch())


def test_a_request_that_is_planned_at_this_moment(world: World) -> None:
    world.submit(2)
    row = world.requests()[0]
    ledger: Any = Interrupted(world.ledger, "append", world.plan)
    assert cancel_request(world.context(ledger), row).status == "canceled"
    assert ledger.happened
    world.run()
    assert world.statuses() == ["canceled", "succeeded"]
    world.check()


def test_a_batch_that_is_sent_at_this_moment_is_not_taken_apart(world: World) -> None:
    world.submit(2)
    world.plan()
    ledger: Any = Interrupted(world.ledger, "append", world.worker.advance)
    with pytest.raises(NotPossible, match="one of 2 items of a batch that the provider has"):
        cancel_request(world.context(ledger), world.requests()[0])
    world.run()
    assert world.statuses() == ["succeeded"] * 2
    world.check()


class Restless:
    """A ledger in which somebody else is always quicker."""

    def __init__(self, ledger: Ledger) -> None:
        self._ledger = ledger

    def append(self, *_: object, **__: object) -> None:
        raise VersionConflict("request/r", 2, 2)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._ledger, name)


def test_where_somebody_else_is_quicker_twice_nothing_happens(world: World) -> None:
    world.submit(1)
    restless: Any = Restless(world.ledger)
    with pytest.raises(Busy, match="nothing was changed, try again"):
        cancel_request(world.context(restless), world.requests()[0])
    assert world.statuses() == ["queued"]


def test_a_planned_batch_is_canceled_with_its_requests(world: World) -> None:
    world.submit(3)
    world.plan()
    row = cancel_batch(world.context(), world.batch(), "wrong file")
    assert (row.status, row.note, row.due_at) == ("failed", "canceled: wrong file", None)
    assert world.recorded(BatchFailed) == [BatchFailed(reason="canceled: wrong file")]
    assert world.statuses() == ["canceled"] * 3
    world.run()
    assert world.provider.calls["create"] == 0
    world.check()


def test_a_batch_in_progress_is_stopped_by_the_provider(world: World) -> None:
    world.provider.batch_seconds = 600.0
    world.send(3)
    row = cancel_batch(world.context(), world.batch(), "wrong file")
    assert (row.status, row.note) == ("canceling", "wrong file")
    assert world.provider.batches[0].canceled
    world.run()
    assert world.statuses() == ["canceled"] * 3
    assert world.recorded(BatchCancelRequested) == [BatchCancelRequested(reason="wrong file")]
    world.check()


def test_a_cancelation_that_nobody_heard_is_repeated(world: World) -> None:
    world.provider.batch_seconds = 600.0
    world.send(3)
    world.provider.plan("cancel", ProviderUnreachable("no connection"))
    with pytest.raises(ProviderError, match="recorded; `llm-ledger run` repeats it: no connection"):
        cancel_batch(world.context(), world.batch())
    assert not world.provider.batches[0].canceled
    world.run(seconds=300)
    assert world.statuses() == ["canceled"] * 3
    assert world.provider.calls["cancel"] == 2
    world.check()


def test_asked_twice_the_provider_is_told_twice(world: World) -> None:
    world.provider.batch_seconds = 600.0
    world.send(1)
    world.provider.plan("cancel", Turn(refuse=ProviderUnreachable("no connection")))
    with pytest.raises(ProviderError):
        cancel_batch(world.context(), world.batch())
    assert cancel_batch(world.context(), world.batch()).status == "canceling"
    assert world.provider.batches[0].canceled
    assert len(world.recorded(BatchCancelRequested)) == 1


def test_only_its_own_account_can_cancel_a_batch(world: World) -> None:
    world.provider.batch_seconds = 600.0
    world.send(1)
    world.provider.account_in_use = OTHERS
    head = world.ledger.head()
    with pytest.raises(NotPossible, match=r"belongs to another account .* set that account's key"):
        cancel_batch(world.context(), world.batch())
    assert world.ledger.head() == head
    assert world.provider.calls["cancel"] == 0
    world.provider.account_in_use = OURS
    cancel_batch(world.context(), world.batch())
    world.run()
    assert world.statuses() == ["canceled"]


def test_a_batch_that_ends_at_this_moment_is_collected(new_world: Callable[..., World]) -> None:
    world = new_world()
    world.send(2)

    def end() -> None:
        world.clock.advance(11)
        assert world.worker.advance()

    ledger: Any = Interrupted(world.ledger, "append", end)
    with pytest.raises(NotPossible, match="has ended already: ended"):
        cancel_batch(world.context(ledger), world.batch())
    world.run()
    assert world.statuses() == ["succeeded"] * 2
    world.check()
