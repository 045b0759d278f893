"""A Postgres server that is restarted again and again under load, and what its loss at a bad moment leaves behind."""

from __future__ import annotations

import json
import time
from collections import Counter
from collections.abc import Iterator
from decimal import Decimal
from itertools import cycle
from pathlib import Path
from random import Random

import pytest

from ledger import Ledger
from ledger.errors import DatabaseUnavailable
from ledger.events import CacheUsageRecorded, RequestSucceeded
from ledger.queries import outstanding, requests
from ledger.savings import Period
from ledger.summary import savings
from ledger.verify import verify
from llm_ledger.simulator import RunningSimulator, SimulatorConfig, running
from scheduler import Intake, providers
from tests.support.failing_server import FailingServer, Mode, failing_server
from tests.support.fleet import Fleet, wait

BATCH_SIZE = 10

ENVIRON = {
    "ANTHROPIC_API_KEY": "sk-of-the-test",
    "LLM_LEDGER_BATCH_MAX_SIZE": str(BATCH_SIZE),
    "LLM_LEDGER_BATCH_TIMEOUT_SECONDS": "0.2",
    "LLM_LEDGER_POLL_MIN_SECONDS": "0.2",
    "LLM_LEDGER_POLL_MAX_SECONDS": "0.6",
    "LLM_LEDGER_LEASE_SECONDS": "2",
    "LLM_LEDGER_HTTP_TIMEOUT_SECONDS": "6",
    "LLM_LEDGER_SUBMIT_QUIET_SECONDS": "2",
}


@pytest.fixture
def server() -> Iterator[FailingServer]:
    with failing_server() as server:
        yield server


class Load:
    """Requests that keep coming, and how far they are."""

    def __init__(self, ledger: Ledger) -> None:
        self.ledger = ledger
        self.submitted = 0

    def submit(self, many: int) -> None:
        """Record so many more, as often as it takes: what is recorded already is skipped."""
        lines = [line(number) for number in range(self.submitted, self.submitted + many)]
        wait(lambda: self._taken(lines), "requests recorded")
        self.submitted += many

    def _taken(self, lines: list[bytes]) -> bool:
        try:
            Intake(self.ledger, providers.rules("anthropic")).submit(lines)
        except DatabaseUnavailable:
            return False
        return True

    def done(self) -> bool:
        try:
            return outstanding(self.ledger).idle
        except DatabaseUnavailable:
            return False


def line(number: int) -> bytes:
    params = {
        "model": "claude-haiku-4-5",
        "max_tokens": 32,
        "messages": [{"role": "user", "content": f"What is {number} times 7?"}],
    }
    return json.dumps({"custom_id": f"r{number}", "params": params}).encode()


def restarts(server: FailingServer, load: Load, *, times: int, every: float, many: int) -> None:
    """Restart the server so many times, and submit so many requests in each pause."""
    modes: Iterator[Mode] = cycle(("fast", "immediate"))
    random = Random(times)
    for mode, _ in zip(modes, range(times), strict=False):
        until = time.monotonic() + every
        load.submit(many)
        time.sleep(max(0.0, until - time.monotonic()) * random.uniform(0.7, 1.0))
        server.restart(mode)


def assert_one_outcome_and_one_bill(ledger: Ledger, simulator: RunningSimulator, many: int) -> None:
    assert Counter(row.status for row in requests(ledger)) == {"succeeded": many}
    told = Counter((type(event.data), event.stream_id) for event in ledger.events())
    for kind in (RequestSucceeded, CacheUsageRecorded):
        assert [count for (found, _), count in told.items() if found is kind] == [1] * many
    assert simulator.log()["duplicated_params"] == 0
    assert Decimal(savings(ledger, Period())["cost"]["actual"]) == Decimal(simulator.bill()["total"])
    assert verify(ledger.database).problems == ()


def story(server: FailingServer, folder: Path, *, times: int, every: float, many: int) -> list[list[str]]:
    """Two processes work while the server comes and goes. Returns what each of them said."""
    with (
        running(SimulatorConfig(batch_seconds=0.5)) as simulator,
        Ledger.open(server.url) as ledger,
        Fleet(ledger, server.url, folder, ENVIRON | {"ANTHROPIC_BASE_URL": simulator.base_url}, size=2) as fleet,
    ):
        load = Load(ledger)
        load.submit(many)
        wait(lambda: bool(fleet.holds()), "work under way")
        restarts(server, load, times=times, every=every, many=many)
        wait(load.done, "everything done")
        processes = fleet.living
        assert len(processes) == 2
        wait(lambda: all(is_over(fleet.said(process)) for process in processes), "everybody said that it is over")
        fleet.end()
        assert_one_outcome_and_one_bill(ledger, simulator, load.submitted)
        return [fleet.said(process) for process in processes]


def is_over(said: list[str]) -> bool:
    told = [text for text in said if "the ledger's database" in text]
    return bool(told) and "can be used again" in told[-1]


def assert_said_clearly(said: list[str], restarts: int) -> None:
    began = [text for text in said if "the ledger's database cannot be used now: " in text]
    over = [text for text in said if "the ledger's database can be used again, after " in text]
    assert 1 <= len(began) <= restarts
    assert len(over) == len(began)
    assert all(text.endswith("; trying again, nothing is lost") for text in began)
    assert not [text for text in said if "Traceback" in text or " error " in text]


def test_restarted_under_load_nothing_is_lost_or_paid_twice(server: FailingServer, tmp_path: Path) -> None:
    for said in story(server, tmp_path, times=3, every=1.5, many=20):
        assert_said_clearly(said, restarts=3)


@pytest.mark.soak
def test_restarted_every_five_seconds_for_a_minute(server: FailingServer, tmp_path: Path) -> None:
    for said in story(server, tmp_path, times=12, every=5.0, many=50):
        assert_said_clearly(said, restarts=12)
