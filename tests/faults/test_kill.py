"""A worker process dies again and again, at moments nobody chose, and its successors finish what it began."""

from __future__ import annotations

import json
import os
import select
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from decimal import Decimal
from pathlib import Path
from random import Random

import pytest

from ledger import Ledger
from ledger.events import BatchDuplicateDetected, CacheUsageRecorded, RequestSucceeded
from ledger.queries import outstanding, requests
from ledger.rebuild import rebuild
from ledger.savings import Period
from ledger.summary import savings
from ledger.verify import verify
from llm_ledger.simulator import SimulatorConfig, running
from scheduler import Intake, providers
from tests.support.databases import shared_url
from tests.support.ledgers import dump

ROOT = Path(__file__).resolve().parents[2]
REQUESTS, BATCH_SIZE, KILLS = 300, 40, 9


class Workers:
    """Worker processes of `tests.support.loop_runner`, one at a time."""

    def __init__(self, runner: subprocess.Popen[str]) -> None:
        assert runner.stdin is not None
        assert runner.stdout is not None
        self._orders, self._reports = runner.stdin, runner.stdout

    def run(self, seconds: float, *, kill: bool) -> int:
        """Start one and let it work for so long at most. Returns its wait status."""
        self._orders.write("\n")
        self._orders.flush()
        process = int(self._reports.readline())
        ended, _, _ = select.select([self._reports], [], [], seconds)
        if not ended:
            assert kill, f"not done after {seconds} s"
            os.kill(process, signal.SIGKILL)
        return int(self._reports.readline())


@contextmanager
def workers(url: str, base_url: str) -> Iterator[Workers]:
    environ = os.environ | {
        "LLM_LEDGER_DATABASE_URL": url,
        "ANTHROPIC_BASE_URL": base_url,
        "ANTHROPIC_API_KEY": "sk-of-the-test",
        "LLM_LEDGER_BATCH_MAX_SIZE": str(BATCH_SIZE),
        "LLM_LEDGER_BATCH_TIMEOUT_SECONDS": "0.2",
        "LLM_LEDGER_POLL_MIN_SECONDS": "0.05",
        "LLM_LEDGER_POLL_MAX_SECONDS": "0.2",
        "LLM_LEDGER_LEASE_SECONDS": "0.5",
        "LLM_LEDGER_SUBMIT_QUIET_SECONDS": "0.5",
    }
    command = [sys.executable, "-m", "tests.support.loop_runner"]
    with subprocess.Popen(
        command, cwd=ROOT, env=environ, text=True, stdin=subprocess.PIPE, stdout=subprocess.PIPE
    ) as runner:
        yield Workers(runner)
        runner.communicate()
        assert runner.returncode == 0


def submit(ledger: Ledger) -> None:
    lines = [
        json.dumps(
            {
                "custom_id": f"r{number}",
                "params": {
                    "model": "claude-haiku-4-5",
                    "max_tokens": 32,
                    "messages": [{"role": "user", "content": f"Question {number}: what is {number} times 7?"}],
                },
            }
        ).encode()
        for number in range(REQUESTS)
    ]
    Intake(ledger, providers.rules("anthropic")).submit(lines)


@pytest.mark.parametrize("seed", [1])
def test_killed_at_any_moment_it_finishes_and_pays_once(tmp_path: Path, seed: int) -> None:
    random = Random(seed)
    url = shared_url(tmp_path)
    config = SimulatorConfig(seed=seed, batch_seconds=0.3, visible_after_seconds=0.1, results_after_seconds=0.1)
    with running(config) as simulator, Ledger.open(url) as ledger:
        simulator.accident(kind="overloaded", fraction=0.1)
        submit(ledger)
        with workers(url, simulator.base_url) as process:
            killed = 0
            for _ in range(KILLS):
                killed += process.run(random.uniform(0.02, 0.7), kill=True) == signal.SIGKILL
                assert outstanding(ledger).requests + outstanding(ledger).batches or killed >= 5
            assert process.run(60, kill=False) == 0
        assert killed >= 5

        assert {row.status for row in requests(ledger)} == {"succeeded"}
        answered = [event.stream_id for event in ledger.events() if isinstance(event.data, RequestSucceeded)]
        assert len(answered) == len(set(answered)) == REQUESTS
        assert sum(isinstance(event.data, CacheUsageRecorded) for event in ledger.events()) == REQUESTS
        assert not any(isinstance(event.data, BatchDuplicateDetected) for event in ledger.events())
        assert simulator.log()["duplicated_params"] == 0
        assert Decimal(savings(ledger, Period())["cost"]["actual"]) == Decimal(simulator.bill()["total"])
        assert verify(ledger.database).problems == ()
        before = dump(ledger.database)
        rebuild(ledger.database)
        assert dump(ledger.database) == before
