"""A batch that cannot be sent as a whole becomes two: every item in one of them, in order, and no attempt counted."""

from __future__ import annotations

import json
from collections.abc import Callable

import pytest

from ledger.projections import BatchRow, RequestRow
from scheduler.leases import Lease, LeaseLost
from scheduler.split import split, split_at, split_off
from tests.support.world import World


@pytest.fixture
def world(new_world: Callable[..., World]) -> World:
    return new_world(max_requests=5)


def planned(world: World, many: int = 5) -> tuple[BatchRow, Lease]:
    world.submit(many)
    (batch,) = world.plan()
    lease = world.worker.leases.acquire(batch.id)
    assert lease is not None
    return batch, lease


def contents(world: World) -> list[list[int]]:
    """The numbers of the requests in each planned batch, in their order there."""
    inside: dict[str, list[tuple[int, int]]] = {
        batch.id: [] for batch in world.batches() if batch.status == "planned"
    }
    for number, row in enumerate(world.requests()):
        if row.batch_id in inside:
            inside[row.batch_id].append((row.batch_index or 0, number))
    assert [row.attempts for row in world.requests()] == [1] * len(world.requests())
    return [[number for _, number in sorted(items)] for items in inside.values()]


def odd(row: RequestRow) -> bool:
    return row.custom_id in ("r1", "r4")


def test_halves(world: World) -> None:
    batch, lease = planned(world)
    split(world.context(), batch, lease, "too large")
    assert contents(world) == [[0, 1], [2, 3, 4]]
    assert (world.batches()[0].status, world.batches()[0].note) == ("failed", "too large")


def test_the_first_so_many(world: World) -> None:
    batch, lease = planned(world)
    assert split_at(world.context(), batch, lease, 4, "no room")
    assert contents(world) == [[0, 1, 2, 3], [4]]


def test_those_that_differ(world: World) -> None:
    batch, lease = planned(world)
    assert split_off(world.context(), batch, lease, odd, "no price")
    assert contents(world) == [[0, 2, 3], [1, 4]]


@pytest.mark.parametrize("count", [0, 5, 9])
def test_a_part_without_items_is_none(world: World, count: int) -> None:
    batch, lease = planned(world)
    assert not split_at(world.context(), batch, lease, count, "no room")
    assert not split_off(world.context(), batch, lease, lambda row: count > 0, "no price")
    assert contents(world) == [[0, 1, 2, 3, 4]]


def test_one_that_stands_alone_is_abandoned(world: World) -> None:
    batch, lease = planned(world, 1)
    split(world.context(), batch, lease, "not valid")
    assert world.statuses() == ["abandoned"]
    assert world.requests()[0].error_message == "not valid"
    assert world.batch().status == "failed"


def test_who_lost_the_lease_splits_nothing(world: World) -> None:
    batch, lease = planned(world)
    world.worker.leases.release(lease)
    for act in (
        lambda: split(world.context(), batch, lease, "late"),
        lambda: split_at(world.context(), batch, lease, 2, "late"),
    ):
        with pytest.raises(LeaseLost):
            act()
    assert contents(world) == [[0, 1, 2, 3, 4]]


def test_what_was_split_is_sent_and_answered(world: World) -> None:
    batch, lease = planned(world)
    split_at(world.context(), batch, lease, 2, "no room")
    world.worker.leases.release(lease, forget=True)
    world.run()
    sent = [[json.loads(item.params)["n"] for item in held.items] for held in world.provider.batches]
    assert sent == [[0, 1], [2, 3, 4]]
    world.check()
