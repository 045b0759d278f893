"""A budget over whole runs: the provider's bill stays within it, and nothing queued is lost."""

from __future__ import annotations

import threading
from collections.abc import Callable
from itertools import pairwise
from typing import Any

import msgspec
import pytest

from ledger import Ledger
from scheduler import Worker
from scheduler.budget import BudgetReached
from scheduler.providers.base import RequestFacts
from tests.support.fake_provider import INPUT_PICO, OUTPUT_PICO
from tests.support.fake_rules import FakeRules
from tests.support.world import World

ITEM = 60 * INPUT_PICO + 256 * OUTPUT_PICO


class EstimatingRules(FakeRules):
    """No request of these tests is longer than 60 bytes, and none is billed for more than that."""

    def check(self, params: dict[str, Any]) -> RequestFacts:
        return msgspec.structs.replace(super().check(params), estimated_input_tokens=60)


@pytest.fixture(autouse=True)
def _estimates(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tests.support.world.FakeRules", EstimatingRules)


def settle(world: World, *workers: Worker, rounds: int = 30) -> None:
    """Let so many rounds of ten seconds pass; what the budget holds back is tried every sixth."""
    for _ in range(rounds):
        for worker in workers or (world.worker,):
            worker.tick()
        world.clock.advance(10)


def test_as_much_is_sent_as_there_is_money_for(new_world: Callable[..., World]) -> None:
    world = new_world(budget_total=10 * ITEM)
    world.submit(30, max_tokens=256)
    settle(world, rounds=50)
    assert 0 < world.provider.bill() <= 10 * ITEM
    done = world.statuses().count("succeeded")
    assert done >= 10
    assert world.statuses().count("batched") == 30 - done
    # Whatever was left would not have paid for one more.
    assert 10 * ITEM - world.provider.bill() < ITEM
    assert world.worker.held.errors.keys() == {batch.id for batch in world.batches() if batch.due_at is not None}
    assert all(isinstance(error, BudgetReached) for error in world.worker.held.errors.values())
    world.check()


def test_with_more_money_all_goes_on_at_once(new_world: Callable[..., World]) -> None:
    world = new_world(budget_total=5 * ITEM)
    world.submit(20, max_tokens=256)
    settle(world)
    world.policy = msgspec.structs.replace(world.policy, budget_total=100 * ITEM)
    again = world.another_worker()
    assert again.advance()
    settle(world, again, rounds=10)
    assert world.statuses() == ["succeeded"] * 20
    assert world.provider.params_taken.total() == 20
    world.check()


def test_each_day_does_its_part(new_world: Callable[..., World]) -> None:
    world = new_world(budget_day=6 * ITEM)
    world.submit(24, max_tokens=256)
    bills = [0]
    for _ in range(6):
        settle(world)
        bills.append(world.provider.bill())
        world.clock.advance(86_400 - 30 * 10)
    assert max(after - before for before, after in pairwise(bills)) <= 6 * ITEM
    assert world.statuses() == ["succeeded"] * 24
    assert world.worker.held.errors == {}
    world.check()


def test_what_comes_to_nothing_is_paid_for_by_nobody(new_world: Callable[..., World]) -> None:
    world = new_world(budget_total=4 * ITEM, max_attempts=9)
    bodies = world.submit(4, max_tokens=256)
    for body in bodies:
        world.provider.fates[body].extend(["expired"] * 3)
    settle(world)
    assert world.statuses() == ["succeeded"] * 4
    world.check()


def test_batches_and_calls_share_it(new_world: Callable[..., World]) -> None:
    world = new_world(budget_total=5 * ITEM, max_attempts=1, fallback_to_standard=True)
    bodies = world.submit(12, max_tokens=256)
    for body in bodies[::2]:
        world.provider.fates[body].append("expired")
    settle(world, rounds=40)
    assert world.provider.standard
    assert world.provider.bill() <= 5 * ITEM
    world.policy = msgspec.structs.replace(world.policy, budget_total=100 * ITEM)
    settle(world, rounds=20)
    assert world.statuses() == ["succeeded"] * 12
    world.check()


def test_many_workers_stay_within_it(new_world: Callable[..., World], shared_world: World) -> None:
    url = shared_world.ledger.database.url
    world = new_world(url, max_requests=2, max_age_seconds=0.0, budget_total=5 * ITEM)
    world.provider.batch_seconds = 0.0
    world.submit(20, max_tokens=256)
    while world.worker.plan():
        pass
    unforeseen: list[Exception] = []
    start = threading.Barrier(3)

    def work() -> None:
        try:
            with Ledger.open(url, clock=world.clock) as ledger:
                worker = world.another_worker(ledger)
                start.wait()
                for _ in range(3):
                    worker.tick()
                    world.clock.advance(2)
                unforeseen.extend(worker.mishaps.errors.values())
        except Exception as error:
            unforeseen.append(error)

    threads = [threading.Thread(target=work) for _ in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert unforeseen == []
    settle(world, rounds=8)
    assert 2 * ITEM < world.provider.bill() <= 5 * ITEM
    world.policy = msgspec.structs.replace(world.policy, budget_total=100 * ITEM)
    settle(world, world.another_worker(), rounds=6)
    assert world.statuses() == ["succeeded"] * 20
    assert world.provider.params_taken.total() == 20
    world.check()
