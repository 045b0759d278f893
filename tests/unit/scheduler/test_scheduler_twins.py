"""A second batch of the provider's for one intent of ours is a batch of its own, once."""

from __future__ import annotations

import pytest

from ledger.errors import ProviderRefused, ProviderUnreachable
from ledger.events import BatchCancelRequested, BatchDuplicateDetected, BatchPlanned
from ledger.queries import batch as read_batch
from ledger.verify import verify
from scheduler.leases import LeaseLost, Leases
from scheduler.providers.base import BatchStatus
from scheduler.twins import record_twin
from tests.support.fake_provider import OURS, Turn
from tests.support.world import World


def doubled(world: World, **params: object) -> BatchStatus:
    """A POST that became two batches. Returns the one that was not told of."""
    world.provider.plan("create", Turn(copies=2))
    world.send(3, **params)
    return world.provider.retrieve("msgbatch_0000")


def record(world: World, found: BatchStatus) -> str:
    batch = world.batches()[0]
    return record_twin(world.context(), batch, found, batch.nonce or "")


@pytest.fixture
def slow(world: World) -> World:
    world.provider.batch_seconds = 600.0
    return world


def test_a_twin_is_a_batch_like_its_original(slow: World) -> None:
    found = doubled(slow, betas=["b", "a"])
    twin_id = record(slow, found)
    first, twin = slow.batches()
    assert (twin.id, twin.twin_of, twin.nonce) == (twin_id, first.id, first.nonce)
    same = ("provider", "api_version", "betas", "request_count", "size", "account", "expires_at")
    assert [getattr(twin, name) for name in same] == [getattr(first, name) for name in same]
    assert twin.provider_batch_id == found.id
    assert first.note == f"the provider also holds {found.id}"
    assert slow.recorded(BatchPlanned)[1].twin_of == first.id
    assert [data.twin_id for data in slow.recorded(BatchDuplicateDetected)] == [twin_id]
    assert verify(slow.ledger.database).problems == ()


def test_one_that_runs_is_canceled_at_once(slow: World) -> None:
    twin_id = record(slow, doubled(slow))
    assert read_batch(slow.ledger, twin_id).status == "canceling"
    assert [held.canceled for held in slow.provider.batches] == [True, False]
    (data,) = slow.recorded(BatchCancelRequested)
    assert data.reason == f"it is a second batch for {slow.batches()[0].id}"


def test_one_that_is_over_is_not(world: World) -> None:
    doubled(world)
    world.clock.advance(60)
    record(world, world.provider.retrieve("msgbatch_0000"))
    assert world.provider.calls["cancel"] == 0
    assert world.recorded(BatchCancelRequested) == []
    world.run()
    assert [batch.status for batch in world.batches()] == ["collected"] * 2
    assert [(batch.settled, batch.request_count) for batch in world.batches()] == [(3, 3)] * 2
    assert world.statuses() == ["succeeded"] * 3
    world.check()


@pytest.mark.parametrize(
    "error", [ProviderUnreachable("no connection"), ProviderRefused("401: wrong key", status=401, kind="x")]
)
def test_one_that_cannot_be_canceled_is_on_record_all_the_same(
    slow: World, error: Exception, caplog: pytest.LogCaptureFixture
) -> None:
    slow.provider.plan("cancel", error)
    twin_id = record(slow, doubled(slow))
    assert f"twin msgbatch_0000 not canceled: {error}" in caplog.text
    assert read_batch(slow.ledger, twin_id).status == "canceling"


def test_recorded_twice_it_is_one(slow: World) -> None:
    found = doubled(slow)
    assert record(slow, found) == record(slow, found)
    assert len(slow.batches()) == 2
    assert slow.provider.calls["cancel"] == 1


def test_what_is_known_as_the_batch_itself_is_no_twin(slow: World) -> None:
    doubled(slow)
    assert record(slow, slow.provider.retrieve("msgbatch_0001")) == slow.batch().id
    assert slow.recorded(BatchDuplicateDetected) == []


def test_a_lease_that_has_ended_records_nothing(slow: World) -> None:
    found = doubled(slow)
    batch = slow.batch()
    leases = Leases(slow.ledger, "late", 15.0)
    lease = leases.acquire(batch.id)
    assert lease is not None
    lease.release()
    with pytest.raises(LeaseLost):
        record_twin(slow.context(), batch, found, batch.nonce or "", lease=lease)
    assert slow.batch().provider_batch_id == "msgbatch_0001"


def test_on_a_shared_database(shared_world: World) -> None:
    shared_world.provider.account_in_use = OURS
    found = doubled(shared_world)
    record(shared_world, found)
    shared_world.run()
    assert shared_world.statuses() == ["succeeded"] * 3
    shared_world.check()
