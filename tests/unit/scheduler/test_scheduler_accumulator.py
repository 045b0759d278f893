"""Waiting requests become batches."""

from __future__ import annotations

import json
import threading
from collections import Counter
from typing import Any

import msgspec
import pytest

from ledger.events import BatchPlanned, RequestBatched
from scheduler import Policy, Worker
from scheduler.accumulator import accumulate
from scheduler.providers.base import ProviderLimits
from tests.support.interrupted import Interrupted
from tests.support.world import World


def items(world: World) -> list[list[int]]:
    """What number (see `World.submit`) each item of each batch has."""
    rows = {row.id: row for row in world.requests()}
    planned: dict[str, list[int]] = {}
    for event in world.ledger.events():
        if isinstance(event.data, RequestBatched):
            request = rows[event.stream_id.partition("/")[2]]
            planned.setdefault(event.data.batch_id, []).append(json.loads(world.ledger.payload(request.payload))["n"])
            assert event.data.index == len(planned[event.data.batch_id]) - 1
    return list(planned.values())


def test_nothing_waits(world: World) -> None:
    assert world.worker.plan() == 0
    assert world.batches() == []


def test_a_full_batch_leaves_at_once(world: World) -> None:
    world.submit(4)
    assert world.worker.plan() == 4
    assert world.batch().request_count == 4
    assert world.recorded(BatchPlanned)[0].reason == "count"


def test_fewer_wait_until_the_oldest_is_old_enough(world: World) -> None:
    world.submit()
    world.clock.advance(9.9)
    world.submit()
    assert world.worker.plan() == 0
    world.clock.advance(0.1)
    assert world.worker.plan() == 2
    assert world.recorded(BatchPlanned)[0].reason == "age"


def test_enough_bytes_leave_at_once(world: World) -> None:
    world.submit(1, text="x" * 60_000)
    assert world.worker.plan() == 0
    world.submit(1, text="x" * 60_000)
    assert world.worker.plan() == 1
    assert world.recorded(BatchPlanned)[0].reason == "bytes"


def test_the_oldest_go_first_and_the_rest_wait_for_the_next(world: World) -> None:
    world.submit(10)
    world.plan()
    assert items(world) == [[0, 1, 2, 3], [4, 5, 6, 7], [8, 9]]


def test_a_batch_holds_what_fits_by_bytes(world: World) -> None:
    world.submit(3, text="x" * 40_000)
    world.plan()
    assert items(world) == [[0, 1], [2]]


def test_a_large_one_is_not_passed_by(world: World) -> None:
    world.submit(1, text="x" * 40_000)
    world.submit(1, text="x" * 70_000)
    world.submit(1)
    world.plan()
    assert items(world) == [[0], [1, 2]]


def test_one_that_is_larger_than_a_batch_should_be_travels_alone(world: World) -> None:
    world.submit(1)
    world.submit(1, text="x" * 150_000)
    world.submit(1)
    world.plan()
    assert items(world) == [[0], [1], [2]]


def test_the_limits_of_the_provider_bind_too(world: World) -> None:
    world.provider.limits = ProviderLimits(max_items=2, max_bytes=1_000_000, results_kept_seconds=1)
    world.submit(5)
    world.plan()
    assert items(world) == [[0, 1], [2, 3], [4]]
    world.provider.limits = ProviderLimits(max_items=9, max_bytes=1_000, results_kept_seconds=1)
    world.submit(3, text="x" * 300)
    world.plan()
    assert items(world)[3:] == [[5, 6], [7]]


def test_a_batch_is_homogeneous_in_its_headers(world: World) -> None:
    world.submit(1)
    world.submit(1, version="2023-06-01")
    world.submit(1, betas=["b", "a"])
    world.submit(1)
    world.submit(1, betas=["a", "b"], model="claude-haiku-4-5")
    world.submit(1, betas=["a"])
    world.plan()
    assert sorted(items(world)) == [[0, 3], [1], [2, 4], [5]]
    headers = {(plan.api_version, plan.betas) for plan in world.recorded(BatchPlanned)}
    assert headers == {("2026-10-01", ()), ("2023-06-01", ()), ("2026-10-01", ("a", "b")), ("2026-10-01", ("a",))}


def test_each_group_waits_for_itself(world: World) -> None:
    world.submit(3)
    world.submit(3, version="2023-06-01")
    assert world.worker.plan() == 0
    world.submit(1)
    assert world.worker.plan() == 4


def test_requests_of_another_provider_are_left_to_its_own_worker(world: World) -> None:
    world.submit(4)
    world.provider.name = "another"
    assert world.worker.plan() == 0


def test_a_retry_waits_for_its_time(world: World) -> None:
    (body,) = world.send()
    world.provider.fates[body].append("overloaded")
    world.clock.advance(11)
    while world.worker.advance():
        pass
    assert world.statuses() == ["failed"]
    world.submit(3)
    assert world.worker.plan() == 1  # the retry is scheduled, not yet due
    assert world.statuses() == ["queued"] * 4
    assert len(world.batches()) == 1
    world.clock.advance(1)
    assert world.worker.plan() == 4
    assert items(world)[1] == [0, 1, 2, 3]


def test_a_batch_keeps_the_policy_it_was_planned_under(world: World) -> None:
    world.submit(4)
    world.worker.plan()
    planned = world.policy
    world.policy = msgspec.structs.replace(planned, max_requests=1)
    (data,) = world.recorded(BatchPlanned)
    assert msgspec.json.decode(data.policy, type=Policy) == planned


def test_the_policy_may_change_while_it_works(world: World) -> None:
    world.submit(3)
    assert world.worker.plan() == 0
    world.policy = msgspec.structs.replace(world.policy, max_requests=3)
    assert world.worker.plan() == 3


def test_two_workers_that_plan_at_once_put_each_request_into_one_batch(shared_world: World) -> None:
    world = shared_world
    world.submit(40)
    start = threading.Barrier(2)
    moved: Counter[int] = Counter()

    def plan(number: int) -> None:
        worker = world.another_worker()
        start.wait()
        for _ in range(20):
            moved[number] += worker.plan()

    threads = [threading.Thread(target=plan, args=(number,)) for number in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert moved.total() == 40
    assert sorted(number for batch in items(world) for number in batch) == list(range(40))
    assert sum(batch.request_count for batch in world.batches()) == 40


@pytest.mark.parametrize(("method", "uses"), [("read", 1), ("append", 0)])
def test_somebody_else_plans_them_just_before(world: World, method: str, uses: int) -> None:
    world.submit(4)
    world.submit(4, version="2023-06-01")
    ledger: Any = Interrupted(world.ledger, method, world.another_worker().plan, skip=uses)
    assert accumulate(world.context(ledger)) == 0
    assert ledger.happened
    assert sorted(items(world)) == [[0, 1, 2, 3], [4, 5, 6, 7]]


def test_a_worker_that_is_bound_to_keys_sends_nobody_elses(world: World) -> None:
    bound = Worker(msgspec.structs.replace(world.context(), keys=lambda: ["ours"]))
    world.submit(1, key="ours")
    world.submit(3, key="theirs")
    assert bound.plan() == 0  # one of ours waits, and they do not travel together
    world.submit(3, key="ours")
    assert bound.plan() == 4
    assert {row.key for row in world.requests() if row.status == "batched"} == {"ours"}
    world.submit(1, key="theirs")
    assert world.worker.plan() == 4
    while bound.advance():
        pass
    assert [batch.status for batch in world.batches()] == ["in_progress", "planned"]
    world.run()
    assert world.statuses() == ["succeeded"] * 8


def test_a_worker_that_is_bound_to_keys_decides_about_nobody_elses_failures(world: World) -> None:
    bound = Worker(msgspec.structs.replace(world.context(), keys=lambda: ["ours"]))
    (body,) = world.send()
    world.provider.fates[body].append("expired")
    world.clock.advance(60)
    while world.worker.advance():
        pass
    assert bound.plan() == 0
    assert world.statuses() == ["expired"]
    world.run()
    assert world.statuses() == ["succeeded"]
