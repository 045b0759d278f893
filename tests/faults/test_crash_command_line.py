"""The program itself dies at crash points, one command after the other; the last one finishes what all began."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from decimal import Decimal
from pathlib import Path

import pytest

from ledger import Ledger
from ledger.crash_points import VARIABLE
from ledger.queries import requests
from ledger.savings import Period
from ledger.summary import savings
from llm_ledger.simulator import RunningSimulator, SimulatorConfig, running
from tests.support.databases import shared_url
from tests.support.invariants import check_all
from tests.support.witness import SimulatorWitness

ROOT = Path(__file__).resolve().parents[2]
KEY = "sk-of-the-test"
REQUESTS = 5


class Program:
    """`python -m llm_ledger` with a ledger and a provider of its own."""

    def __init__(self, url: str, simulator: RunningSimulator) -> None:
        self.url = url
        self.simulator = simulator
        strange = ("LLM_LEDGER_", "ANTHROPIC_")
        self._environ = {name: value for name, value in os.environ.items() if not name.startswith(strange)} | {
            "LLM_LEDGER_DATABASE_URL": url,
            "ANTHROPIC_BASE_URL": simulator.base_url,
            "ANTHROPIC_API_KEY": KEY,
            "LLM_LEDGER_BATCH_TIMEOUT_SECONDS": "0",
            "LLM_LEDGER_POLL_MIN_SECONDS": "0.02",
            "LLM_LEDGER_POLL_MAX_SECONDS": "0.05",
            "LLM_LEDGER_LEASE_SECONDS": "1",
            "LLM_LEDGER_SUBMIT_QUIET_SECONDS": "0.05",
        }

    def __call__(self, *words: str, death: str = "") -> subprocess.CompletedProcess[str]:
        command = [sys.executable, "-m", "llm_ledger", *words]
        environ = self._environ | {VARIABLE: death}
        return subprocess.run(
            command, cwd=ROOT, env=environ, capture_output=True, text=True, timeout=120, check=False
        )

    def dies(self, *words: str, at: str) -> None:
        """Run a command that dies at a crash point."""
        died = self(*words, death=at)
        assert died.returncode == -signal.SIGKILL, (at, died.returncode, died.stderr)

    def done(self, *words: str) -> str:
        """Run a command that does what it is there for. Returns what it says on either output."""
        done = self(*words)
        assert done.returncode == 0, done.stderr
        return done.stdout + done.stderr


@pytest.fixture
def program(tmp_path: Path) -> Iterator[Program]:
    # The provider's clock is fast: what is measured on it in whole seconds passes in no time.
    with running(SimulatorConfig(seed=9, time_scale=50.0, batch_seconds=0.0)) as simulator:
        yield Program(shared_url(tmp_path), simulator)


@pytest.fixture
def file(tmp_path: Path) -> str:
    """A file of requests."""
    lines = []
    for number in range(REQUESTS):
        message = {"role": "user", "content": f"What is {number} times 7?"}
        params = {"model": "claude-haiku-4-5", "max_tokens": 16, "messages": [message]}
        lines.append(json.dumps({"custom_id": f"r{number}", "params": params}))
    path = tmp_path / "requests.jsonl"
    path.write_text("\n".join(lines))
    return str(path)


def test_command_after_command_dies_and_the_last_one_finishes(program: Program, file: str) -> None:
    program.dies("submit", file, at="record.commit.before")
    assert f"recorded {REQUESTS} requests" in program.done("submit", file)
    program.dies("run", "--until-idle", at="submit.commit.after")  # the intent is on record, nothing was sent
    program.dies("run", "--until-idle", at="submit.create.after")  # released, sent again; nobody saw the answer
    program.dies("run", "--until-idle", at="poll.commit.before")  # found again by its nonce
    program.dies("run", "--until-idle", at="collect.commit.after")  # all answers are on record, the batch is not done
    program.done("run", "--until-idle")
    assert_paid_once(program)


def test_a_file_that_was_recorded_before_the_death_is_recorded_once(program: Program, file: str) -> None:
    program.dies("submit", file, at="record.commit.after")
    assert "nothing new" in program.done("submit", file)
    with Ledger.open(program.url) as ledger:
        assert len(list(requests(ledger))) == REQUESTS


def test_a_wrong_name_is_refused_before_anything_is_done(program: Program, file: str) -> None:
    refused = program("submit", file, death="submit.creat.after")
    assert refused.returncode == 3
    (line,) = refused.stderr.splitlines()
    assert line.startswith(f"llm-ledger: {VARIABLE}=submit.creat.after is no crash point; write STEP.SUBJECT.MOMENT")


def assert_paid_once(program: Program) -> None:
    bill, log = program.simulator.bill(), program.simulator.log()
    with Ledger.open(program.url) as ledger:
        assert [row.status for row in requests(ledger)] == ["succeeded"] * REQUESTS
        check_all(ledger, SimulatorWitness(bill, log), secrets=[KEY], twins=False)
        assert Decimal(savings(ledger, Period())["cost"]["actual"]) == Decimal(bill["total"])
    assert len(log["batches"]) == 1
    assert log["duplicated_params"] == 0
