"""Several `run` processes on one ledger, killed and stopped in the middle of things: each batch is sent once.

A seed that fails tells the same story again, as far as processes let themselves be told.
"""

from __future__ import annotations

import json
from collections import Counter
from decimal import Decimal
from pathlib import Path
from random import Random

import pytest

from ledger import Ledger
from ledger.events import (
    BatchDuplicateDetected,
    BatchResultsCollected,
    BatchSubmissionUncertain,
    BatchSubmitted,
    CacheUsageRecorded,
    RequestSucceeded,
    batch_stream,
)
from ledger.queries import batches, outstanding, requests
from ledger.savings import Period
from ledger.summary import savings
from ledger.verify import verify
from llm_ledger.simulator import RunningSimulator, SimulatorConfig, running
from scheduler import Intake, providers
from tests.support import postgres
from tests.support.fleet import Fleet, Hold, wait

BATCHES, BATCH_SIZE, WARMING_UP = 40, 3, 6

HURRIED = {
    "ANTHROPIC_API_KEY": "sk-of-the-test",
    "LLM_LEDGER_BATCH_MAX_SIZE": str(BATCH_SIZE),
    "LLM_LEDGER_BATCH_TIMEOUT_SECONDS": "3600",
    "LLM_LEDGER_POLL_MIN_SECONDS": "0.2",
    "LLM_LEDGER_POLL_MAX_SECONDS": "0.6",
    "LLM_LEDGER_LEASE_SECONDS": "1",
    "LLM_LEDGER_HTTP_TIMEOUT_SECONDS": "6",
    # Longer than a process stays stopped: what it was about to send when it was stopped may still be on its way.
    "LLM_LEDGER_SUBMIT_QUIET_SECONDS": "3",
}

CONFIG = SimulatorConfig(batch_seconds=60, visible_after_seconds=0.05, results_after_seconds=0.05)
"""Batches end when the test moves the provider's clock."""


class Story:
    """One ledger, its provider, its workers."""

    def __init__(self, ledger: Ledger, simulator: RunningSimulator, fleet: Fleet, seed: int) -> None:
        self.ledger = ledger
        self.simulator = simulator
        self.fleet = fleet
        self.random = Random(seed)

    def submit(self, batches: int) -> None:
        known = sum(1 for _ in requests(self.ledger))
        numbers = range(known, known + batches * BATCH_SIZE)
        Intake(self.ledger, providers.rules("anthropic")).submit([line(number) for number in numbers])

    def some_answers_never_come(self) -> None:
        """Submissions that the provider takes, and says nothing: their senders sit there, with a lease in hand."""
        for _ in range(3):
            skip = self.random.randint(0, 4)
            self.simulator.fault(endpoint="batches.create", kind="hang", commit=True, skip=skip)

    def some_time_passes(self) -> None:
        until = self.ledger.head().position + self.random.randint(0, 40)
        wait(lambda: self.ledger.head().position >= until, "events")

    def kill_one(self, but: Hold) -> None:
        self.fleet.kill(self.random.choice([pid for pid in self.fleet.living if pid != but.process]))

    def taken_over(self, hold: Hold) -> bool:
        events = self.ledger.events(stream=batch_stream(hold.batch))
        return any(isinstance(event.data, BatchSubmissionUncertain) for event in events)

    def finished(self) -> bool:
        self.simulator.advance(3)
        return outstanding(self.ledger).idle


def line(number: int) -> bytes:
    question = f"Question {number}: what is {number} times 7?"
    params = {
        "model": "claude-haiku-4-5",
        "max_tokens": 32,
        "messages": [{"role": "user", "content": question}],
    }
    return json.dumps({"custom_id": f"r{number}", "params": params}).encode()


@pytest.mark.parametrize("seed", [1])
@pytest.mark.parametrize(("database", "workers", "kills"), [("postgres", 4, 2), ("sqlite", 2, 1)])
def test_workers_that_die_or_fall_asleep_are_replaced_by_the_others(
    tmp_path: Path, database: str, workers: int, kills: int, seed: int
) -> None:
    url = postgres.fresh_database() if database == "postgres" else f"sqlite:///{tmp_path / 'ledger.db'}"
    with running(CONFIG) as simulator, Ledger.open(url) as ledger:
        environ = HURRIED | {"ANTHROPIC_BASE_URL": simulator.base_url}
        with Fleet(ledger, url, tmp_path, environ, size=workers) as fleet:
            story = Story(ledger, simulator, fleet, seed)
            story.submit(WARMING_UP)
            fleet.all_at_work()
            story.some_answers_never_come()
            story.submit(BATCHES - WARMING_UP)

            asleep = fleet.stop_while("submitting")
            for _ in range(kills - 1):
                story.some_time_passes()
                story.kill_one(but=asleep)
            wait(lambda: story.taken_over(asleep), "taken over from who sleeps")
            fleet.go_on(asleep)
            story.some_time_passes()
            story.kill_one(but=asleep)

            wait(story.finished, "everything done")
            assert len(fleet.living) == workers - kills
            fleet.end()
        assert_done_once(ledger, simulator)
        assert_told_that_it_was_too_late(fleet.said(asleep.process), asleep)


def assert_done_once(ledger: Ledger, simulator: RunningSimulator) -> None:
    assert {row.status for row in requests(ledger)} == {"succeeded"}
    assert [row.status for row in batches(ledger)] == ["collected"] * BATCHES
    log = simulator.log()
    assert (len(log["batches"]), log["duplicated_params"]) == (BATCHES, 0)

    told = Counter((type(event.data), event.stream_id) for event in ledger.events())
    assert not [stream for (kind, stream) in told if kind is BatchDuplicateDetected]
    for kind, streams in (
        (RequestSucceeded, BATCHES * BATCH_SIZE),
        (CacheUsageRecorded, BATCHES * BATCH_SIZE),
        (BatchSubmitted, BATCHES),
        (BatchResultsCollected, BATCHES),
    ):
        times = [count for (found, _), count in told.items() if found is kind]
        assert times == [1] * streams, kind

    assert Decimal(savings(ledger, Period())["cost"]["actual"]) == Decimal(simulator.bill()["total"])
    assert verify(ledger.database).problems == ()


def assert_told_that_it_was_too_late(lines: list[str], asleep: Hold) -> None:
    about_it = [text for text in lines if asleep.batch in text]
    assert any("another worker has it" in text or "the lease ended before" in text for text in about_it), lines
    assert not [text for text in lines if " error " in text]
