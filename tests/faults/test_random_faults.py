"""Everything goes wrong at random, in simulated time; when it stops, every request has ended once, and is paid once.

A seed that fails tells the whole story again. `LLM_LEDGER_TEST_SEEDS` asks for more of them.
"""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Iterable
from random import Random
from typing import Any

import pytest

from ledger.errors import ProviderRefused, ProviderUnreachable
from ledger.events import (
    BatchDuplicateDetected,
    CacheUsageRecorded,
    RequestAbandoned,
    RequestCanceled,
    RequestFailed,
    RequestSucceeded,
)
from ledger.queries import outstanding
from scheduler import Worker
from scheduler.providers.base import (
    BatchTooLarge,
    CapacityRefused,
    InvalidBatch,
    ItemResult,
    ResultsUnavailable,
    SubmissionUncertain,
)
from tests.support.fake_provider import ANSWERED, Fate, Turn
from tests.support.mortal import Death, Mortal
from tests.support.world import World

SEEDS = range(int(os.environ.get("LLM_LEDGER_TEST_SEEDS", "20")))

FAULTY_TURNS = 25
"""Worker turns in which faults happen; after them everything goes well."""

FATES: tuple[Fate, ...] = (
    "succeeded", "overloaded", "overloaded", "expired", "invalid", "canceled", "no_usage", "odd_usage", "other_model",
)  # fmt: skip


class Chaos:
    """One seed's story: a world, its workers, and what befalls them."""

    def __init__(self, seed: int) -> None:
        self.random = Random(seed)
        self.world = World(
            seed=seed, max_requests=self.random.choice([1, 3, 5]), poll_min_seconds=4.0, poll_max_seconds=20.0
        )
        self.provider = self.world.provider
        self.provider.batch_seconds = self.random.choice([0.0, 10.0, 40.0])
        self.provider.visible_after = self.random.choice([0.0, 5.0, 15.0])
        self.provider.results_after = self.random.choice([0.0, 5.0])
        self.provider.chance = self.turn
        self.turns = 0
        self.nested = False
        self.mortals: dict[Worker, Mortal] = {}
        self.workers = [self.newborn() for _ in range(self.random.randint(1, 3))]
        self.at_work = self.workers[0]

    def happens(self, chance: float) -> bool:
        return self.turns < FAULTY_TURNS and self.random.random() < chance

    def newborn(self) -> Worker:
        mortal: Any = Mortal(self.world.ledger, lambda: self.happens(0.02))
        worker = self.world.another_worker(mortal)
        self.mortals[worker] = mortal
        return worker

    def die(self) -> None:
        self.mortals[self.at_work].die()

    def turn(self, call: str) -> Turn:
        """How a call goes for which nothing else was decided."""
        if not self.happens(0.35):
            return Turn()
        general = [
            Turn(refuse=ProviderUnreachable("no connection")),
            Turn(refuse=ProviderRefused("500", status=500, kind="api_error")),
            Turn(hook=self.die),
            Turn(late=self.die),
            Turn(hook=self.others),
            Turn(late=self.others),
        ]
        uncertain = SubmissionUncertain("no answer")
        special = {
            "create": [
                Turn(refuse=CapacityRefused("429", self.random.choice([None, 30.0]))),
                Turn(refuse=BatchTooLarge("413")),
                Turn(refuse=InvalidBatch("400")),
                Turn(refuse=uncertain),
                Turn(lose=uncertain),
                Turn(late=self.others, lose=uncertain),
            ],
            "results": [
                Turn(mangle=self.garble),
                Turn(mangle=self.garble),
                Turn(refuse=ResultsUnavailable("later")),
            ],
        }
        return self.random.choice(general + special.get(call, []))

    def others(self) -> None:
        """It takes long: leases end, and the other workers go on meanwhile."""
        if self.nested:
            return
        self.nested, present = True, self.at_work
        for _ in range(self.random.randint(1, 6)):
            self.world.clock.advance(self.random.choice([1.0, 8.0, 16.0]))
            self.work(self.random.choice(self.workers))
        self.nested, self.at_work = False, present

    def garble(self, lines: list[ItemResult]) -> Iterable[ItemResult | Exception]:
        kept = lines[: self.random.randint(0, len(lines))]
        foreign = ItemResult(custom_id="theirs-0", kind="succeeded", body=b"{}", usage=b'{"output_tokens":9}')
        ends: list[list[ItemResult | Exception]] = [[], [ResultsUnavailable("broke off")], [*lines]]
        return [*kept, foreign, *kept[:1], *self.random.choice(ends)]

    def work(self, worker: Worker) -> None:
        """A turn of one worker; if it dies of it, another takes its place."""
        self.at_work = worker
        try:
            worker.tick()
        except Death:
            self.workers = [self.newborn() if one is worker else one for one in self.workers]
        assert worker.mishaps.errors == {}

    def submit(self) -> None:
        for _ in range(self.random.randint(1, 4)):
            version = self.random.choice(["2023-06-01", "2026-10-01"])
            for body in self.world.submit(self.random.randint(1, 5), version=version):
                self.provider.fates[body].extend(self.random.choices(FATES, k=self.random.choice([0, 0, 1, 2, 4])))
                if self.random.random() < 0.05:
                    self.provider.poison.add(body)

    def play(self) -> None:
        self.submit()
        while not outstanding(self.world.ledger).idle:
            self.turns += 1
            assert self.turns < 400, (self.world.batches(), self.world.statuses())
            self.work(self.random.choice(self.workers))
            if self.happens(0.1):
                self.provider.stranger(self.random.randint(1, 5))
            if not self.happens(0.5):
                self.world.clock.advance(max(self.world.until_due(), self.random.choice([0.1, 1.0, 5.0])))


@pytest.mark.parametrize("seed", SEEDS)
def test_when_the_faults_stop_all_is_done_and_paid_once(seed: int) -> None:
    chaos = Chaos(seed)
    chaos.play()
    world = chaos.world
    assert set(world.statuses()) <= {"succeeded", "errored", "canceled", "abandoned"}
    assert_one_outcome_each(world)
    assert_paid_once(world)
    world.check()
    world.close()


def assert_one_outcome_each(world: World) -> None:
    outcomes = Counter(
        event.stream_id
        for event in world.ledger.events()
        if isinstance(event.data, RequestSucceeded | RequestCanceled | RequestAbandoned)
        or (isinstance(event.data, RequestFailed) and not event.data.retryable)
    )
    assert dict(outcomes) == {f"request/{row.id}": 1 for row in world.requests()}


def assert_paid_once(world: World) -> None:
    world.clock.advance(100)  # whatever runs on anywhere has ended then
    world.provider.bill()
    answered: Counter[bytes] = Counter()
    for held in world.provider.batches:
        fates = zip(held.items, held.fates, strict=True)
        answered.update(item.params for item, fate in fates if fate in ANSWERED and b"theirs" not in item.params)
    duplicates = [data for data in world.recorded(CacheUsageRecorded) if data.role == "duplicate"]
    assert set(answered.values()) <= {1}
    assert (duplicates, world.recorded(BatchDuplicateDetected)) == ([], [])
    assert answered.total() == world.statuses().count("succeeded")


def test_the_same_seed_gives_the_same_log() -> None:
    heads = []
    for _ in range(2):
        chaos = Chaos(7)
        chaos.play()
        heads.append(chaos.world.ledger.head())
        chaos.world.close()
    assert heads[0] == heads[1]
