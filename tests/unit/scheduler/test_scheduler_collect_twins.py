"""A second batch of the provider's for one intent: what it answered is paid for, and counted, whoever needs it."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from ledger.events import (
    BatchResultsCollected,
    CacheUsageRecorded,
    RequestCostUnknown,
    RequestExpired,
    RequestFailed,
    RequestSucceeded,
)
from ledger.projections import BatchRow
from ledger.queries import batch as read_batch
from scheduler.collect import collect
from scheduler.leases import Leases
from scheduler.poll import poll
from scheduler.providers.base import BatchItem, ItemResult, ResultsUnavailable, SubmissionUncertain
from scheduler.twins import record_twin
from scheduler.wire import wire_id
from tests.support.fake_provider import Fate, HeldBatch, Turn
from tests.support.interrupted import Interrupted
from tests.support.world import World


def twin_of(world: World, bodies: list[bytes], *fates: Fate) -> tuple[BatchRow, HeldBatch]:
    """A second batch for the first one's intent, over already: as the ledger knows it, and as the provider does."""
    original = world.batches()[0]
    held = world.provider.hold(BatchItem(wire_id(original.nonce or "", n), body) for n, body in enumerate(bodies))
    held.ends_at = held.created_at
    for body, fate in zip(bodies, fates, strict=False):
        world.provider.fates[body].append(fate)
    twin_id = record_twin(world.context(), original, world.provider.retrieve(held.id), original.nonce or "")
    return read_batch(world.ledger, twin_id), held


def step(world: World, batch_id: str) -> BatchRow:
    """Poll or collect that batch, whatever else is due."""
    lease = Leases(world.ledger, "hand", 15.0).acquire(batch_id)
    assert lease is not None
    batch = read_batch(world.ledger, batch_id)
    {"in_progress": poll, "canceling": poll, "ended": collect}[batch.status](world.context(), batch, lease)
    lease.release()
    return read_batch(world.ledger, batch_id)


def roles(world: World) -> list[str]:
    return sorted(data.role for data in world.recorded(CacheUsageRecorded))


def test_what_a_twin_answers_after_its_original_is_a_duplicate(world: World) -> None:
    bodies = world.send(3)
    world.provider.batches[0].ends_at = world.clock.now()
    world.run()
    twin, held = twin_of(world, bodies)
    world.run()
    assert world.statuses() == ["succeeded"] * 3
    assert roles(world) == ["duplicate"] * 3 + ["result"] * 3
    duplicates = [data for data in world.recorded(CacheUsageRecorded) if data.role == "duplicate"]
    assert {(data.batch_id, data.billed_at) for data in duplicates} == {(twin.id, held.created_at)}
    assert sorted(data.batch_index or 0 for data in duplicates) == [0, 1, 2]
    assert [(one.status, one.settled) for one in world.batches()] == [("collected", 3)] * 2
    world.check()


def test_a_twin_that_answers_first_answers_the_request(world: World) -> None:
    world.provider.batch_seconds = 600.0
    bodies = world.send(3)
    twin, held = twin_of(world, bodies)
    assert step(world, twin.id).status == "ended"
    assert step(world, twin.id).status == "collected"
    assert world.statuses() == ["succeeded"] * 3
    assert {(data.batch_id, data.processing) for data in world.recorded(RequestSucceeded)} == {(twin.id, "batch")}
    assert roles(world) == ["result"] * 3
    assert {data.billed_at for data in world.recorded(CacheUsageRecorded)} == {held.created_at}
    world.run()
    assert roles(world) == ["duplicate"] * 3 + ["result"] * 3
    assert [(one.status, one.settled) for one in world.batches()] == [("collected", 3)] * 2
    world.check()


def test_an_original_cut_short_after_its_twin_answered_everything_is_read_again(world: World) -> None:
    """No request waits for it any more; what it cost is still to be found out."""
    world.provider.batch_seconds = 600.0
    bodies = world.send(4)
    twin, _ = twin_of(world, bodies)
    step(world, twin.id)
    step(world, twin.id)
    world.provider.plan("results", *[Turn(mangle=lambda lines, kept=kept: lines[:kept]) for kept in range(4)])  # type: ignore[misc]
    world.run()
    assert roles(world) == ["duplicate"] * 4 + ["result"] * 4
    world.check()


def test_what_a_twin_did_not_answer_settles_nothing(world: World) -> None:
    world.provider.batch_seconds = 600.0
    bodies = world.send(4)
    twin, _ = twin_of(world, bodies, "expired", "invalid", "overloaded", "canceled")
    step(world, twin.id)
    assert step(world, twin.id).status == "collected"
    assert world.statuses() == ["batched"] * 4
    assert world.recorded(RequestExpired) == []
    assert world.recorded(RequestFailed) == []
    (told,) = world.recorded(BatchResultsCollected)
    assert told.counts is not None
    assert (told.lines, told.counts.expired, told.counts.errored, told.counts.canceled) == (4, 1, 2, 1)
    world.run()
    assert world.statuses() == ["succeeded"] * 4
    assert roles(world) == ["result"] * 4
    world.check()


def test_a_twins_answer_reaches_a_request_that_waits_for_its_next_attempt(world: World) -> None:
    bodies = world.send(2)
    world.provider.fates[bodies[0]].append("overloaded")
    world.clock.advance(11)
    assert world.worker.advance()
    assert world.worker.advance()
    assert world.statuses() == ["failed", "succeeded"]
    twin, _ = twin_of(world, bodies)
    step(world, twin.id)
    step(world, twin.id)
    assert world.statuses() == ["succeeded"] * 2
    world.run()
    assert len(world.batches()) == 2
    assert roles(world) == ["duplicate", "result", "result"]
    world.check()


@pytest.mark.parametrize("fate", ["no_usage", "odd_usage"])
def test_an_answer_of_a_twin_that_cannot_be_priced_is_recorded_as_that_once(world: World, fate: Fate) -> None:
    bodies = world.send(2)
    world.run()
    twin, _ = twin_of(world, bodies, fate)
    broken = ResultsUnavailable("broken")
    world.provider.plan("results", Turn(mangle=lambda lines: [*lines, broken]))
    world.run()
    (unknown,) = world.recorded(RequestCostUnknown)
    assert (unknown.batch_id, unknown.batch_index) == (twin.id, 0)
    assert roles(world) == ["duplicate", "result", "result"]
    world.check()


def test_a_twin_may_be_cut_short_and_read_again_at_every_line(new_world: Callable[..., World]) -> None:
    world = new_world(max_requests=20)
    bodies = world.send(20)
    world.run()
    twin_of(world, bodies, "expired", "canceled")

    def cut(kept: int) -> Callable[[list[ItemResult]], Any]:
        return lambda lines: lines[:kept]

    world.provider.plan("results", *[Turn(mangle=cut(kept)) for kept in range(20)])
    world.run()
    assert roles(world) == ["duplicate"] * 18 + ["result"] * 20
    assert [one.status for one in world.batches()] == ["collected"] * 2
    world.check()


def retried(world: World) -> list[bytes]:
    """A batch whose first item failed, and waits in the next one, together with two new ones."""
    bodies = world.send(3)
    world.provider.fates[bodies[0]].append("overloaded")
    world.clock.advance(11)
    assert world.worker.advance()
    assert world.worker.advance()
    world.worker.plan()
    world.submit(2)
    world.plan()
    assert [(one.status, one.request_count) for one in world.batches()] == [("collected", 3), ("planned", 3)]
    return bodies


def test_what_a_twin_answers_is_not_sent_again(world: World) -> None:
    bodies = retried(world)
    twin, _ = twin_of(world, bodies)
    step(world, twin.id)
    assert step(world, twin.id).status == "collected"
    assert world.statuses() == ["succeeded"] * 3 + ["batched"] * 2
    assert [(one.status, one.request_count) for one in world.batches()[1:]] == [
        ("failed", 3),
        ("collected", 3),
        ("planned", 2),
    ]
    assert (world.batches()[1].note or "").startswith(f"the provider answered a part of it in {twin.id}; its other")
    world.run()
    assert world.statuses() == ["succeeded"] * 5
    assert roles(world) == ["duplicate"] * 2 + ["result"] * 5
    world.check()


def test_an_answer_waits_while_its_request_is_on_its_way_again(world: World) -> None:
    bodies = retried(world)
    world.provider.plan("create", Turn(lose=SubmissionUncertain("500")))
    assert world.worker.advance()
    assert world.batches()[1].status == "uncertain"
    twin, _ = twin_of(world, bodies)
    step(world, twin.id)
    present = step(world, twin.id)
    assert (present.status, present.note) == ("ended", "1 answers wait: their requests are being sent again")
    assert world.statuses()[0] == "batched"
    world.run()
    assert world.statuses() == ["succeeded"] * 5
    # Answered three times: by the first batch's twin, and by the second one, which was sent before that was known.
    assert roles(world) == ["duplicate"] * 3 + ["result"] * 5
    world.check()


def test_a_batch_that_is_sent_at_the_moment_of_the_answer_is_sent_whole(world: World) -> None:
    bodies = retried(world)
    twin, _ = twin_of(world, bodies)
    step(world, twin.id)
    lease = Leases(world.ledger, "hand", 15.0).acquire(twin.id)
    assert lease is not None
    ledger: Any = Interrupted(world.ledger, "append", world.worker.advance)
    collect(world.context(ledger), read_batch(world.ledger, twin.id), lease)
    lease.release()
    assert ledger.happened
    world.run()
    assert world.statuses() == ["succeeded"] * 5
    assert roles(world) == ["duplicate"] * 3 + ["result"] * 5
    world.check()
