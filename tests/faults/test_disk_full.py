"""A disk that is full: what was acknowledged stays, nothing is half stored, and work goes on when there is room."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from decimal import Decimal
from pathlib import Path

import pytest
from sqlalchemy import event

from ledger import Ledger
from ledger.backends.sqlite import SQLiteDatabase
from ledger.errors import DatabaseUnavailable
from ledger.queries import outstanding, requests
from ledger.savings import Period
from ledger.summary import savings
from ledger.verify import verify
from llm_ledger.simulator import RunningSimulator, SimulatorConfig, running
from scheduler import Intake, providers
from tests.support.history import History
from tests.support.ledgers import dump

ROOT = Path(__file__).resolve().parents[2]
MANY = 120


@pytest.fixture
def path(tmp_path: Path) -> Path:
    path = tmp_path / "ledger.db"
    Ledger.open(f"sqlite:///{path}").close()
    return path


class SmallDisk(SQLiteDatabase):
    """A database that may grow by so many pages, until there is more `room`."""

    def __init__(self, path: Path, pages: int) -> None:
        super().__init__(f"sqlite:///{path}")
        self._more = pages
        event.listen(self._writer, "connect", self._limit)

    def _limit(self, connection: object, _record: object) -> None:
        cursor = connection.cursor()  # type: ignore[attr-defined]
        (present,) = cursor.execute("PRAGMA page_count").fetchone()
        cursor.execute(f"PRAGMA max_page_count = {present + self._more}").fetchall()

    def room(self) -> None:
        """There is some again."""
        self._more = 1_000_000
        self._writer.dispose()


@pytest.mark.parametrize("size", [1, 40])
def test_what_was_acknowledged_stays_and_the_rest_can_be_appended_again(path: Path, size: int) -> None:
    database = SmallDisk(path, pages=8)
    history = History()
    with Ledger(database) as ledger:
        acknowledged = 1
        refused = None
        while refused is None:
            for _ in range(size):
                history.configure()
            events = history.take()
            try:
                acknowledged = ledger.append(events)[-1]
            except DatabaseUnavailable as error:
                refused = error
        assert str(refused) == f"{path} cannot grow: the disk is full; free some space"
        assert ledger.head().position == acknowledged
        assert verify(database).problems == ()
        before = dump(database)
        with pytest.raises(DatabaseUnavailable):
            ledger.append(events)
        assert dump(database) == before
        database.room()
        assert ledger.append(events) == list(range(acknowledged + 1, acknowledged + size + 1))
        assert verify(database).problems == ()


# --- the program -------------------------------------------------------------------------------------------------


class Run:
    """`llm-ledger run --until-idle` on a disk with little room."""

    def __init__(self, path: Path, simulator: RunningSimulator, log: Path, *arguments: str) -> None:
        strange = ("LLM_LEDGER_", "ANTHROPIC_")
        environ = {name: value for name, value in os.environ.items() if not name.startswith(strange)} | {
            "LLM_LEDGER_DATABASE_URL": f"sqlite:///{path}",
            "ANTHROPIC_API_KEY": "sk-of-the-test",
            "ANTHROPIC_BASE_URL": simulator.base_url,
            "LLM_LEDGER_BATCH_MAX_SIZE": "10",
            "LLM_LEDGER_BATCH_TIMEOUT_SECONDS": "0.1",
            "LLM_LEDGER_POLL_MIN_SECONDS": "0.1",
            "LLM_LEDGER_POLL_MAX_SECONDS": "0.3",
            "LLM_LEDGER_LEASE_SECONDS": "1",
            "LLM_LEDGER_SUBMIT_QUIET_SECONDS": "1",
        }
        room = max(file.stat().st_size for file in path.parent.glob("ledger.db*")) + 60_000
        command = [sys.executable, "-m", "tests.support.failing_disk", str(room), "run", "--until-idle", *arguments]
        self._log = log
        with log.open("wb") as output:
            self.process = subprocess.Popen(command, cwd=ROOT, env=environ, stdout=output, stderr=output)

    @property
    def said(self) -> list[str]:
        return self._log.read_text().splitlines()

    def has_said(self, words: str) -> bool:
        assert self.process.poll() is None, self.said
        return any(words in text for text in self.said)

    def end(self) -> int:
        return self.process.wait(60)


@contextmanager
def started(path: Path, simulator: RunningSimulator, *arguments: str) -> Iterator[Run]:
    run = Run(path, simulator, path.parent / "run.log", *arguments)
    try:
        yield run
    finally:
        run.process.kill()
        run.process.wait()


def wait(until: Callable[[], bool]) -> None:
    end = time.monotonic() + 60
    while not until():
        assert time.monotonic() < end
        time.sleep(0.02)


def line(number: int) -> bytes:
    params = {
        "model": "claude-haiku-4-5",
        "max_tokens": 32,
        "messages": [{"role": "user", "content": f"What is {number} times 7?"}],
    }
    return json.dumps({"custom_id": f"r{number}", "params": params}).encode()


def submit(path: Path) -> None:
    with Ledger.open(f"sqlite:///{path}") as ledger:
        Intake(ledger, providers.rules("anthropic")).submit([line(number) for number in range(MANY)])


def test_a_run_waits_for_room_says_so_in_one_line_and_finishes(path: Path) -> None:
    submit(path)
    with running(SimulatorConfig(batch_seconds=0.2)) as simulator, started(path, simulator) as run:
        wait(lambda: run.has_said("the ledger's database cannot be used now: "))
        with Ledger.open(f"sqlite:///{path}") as ledger:
            assert outstanding(ledger).requests
            assert verify(ledger.database).problems == ()
        run.process.send_signal(signal.SIGUSR1)
        assert run.end() == 0
        with Ledger.open(f"sqlite:///{path}") as ledger:
            assert [row.status for row in requests(ledger)] == ["succeeded"] * MANY
            assert simulator.log()["duplicated_params"] == 0
            assert Decimal(savings(ledger, Period())["cost"]["actual"]) == Decimal(simulator.bill()["total"])
            assert verify(ledger.database).problems == ()
    began = [text for text in run.said if "the ledger's database cannot be used now: " in text]
    assert all("the disk reports an I/O error" in text or "the disk is full" in text for text in began)
    assert all(text.endswith("; trying again, nothing is lost") for text in began)
    assert len(began) <= 3  # what takes no room may succeed in between
    assert len([text for text in run.said if "can be used again, after " in text]) == len(began)
    assert not [text for text in run.said if "Traceback" in text or " error " in text]
    assert run.said[-1].startswith(f"llm-ledger: {MANY} succeeded, 0 failed")


def test_a_run_that_waits_in_vain_gives_up_in_one_line_with_code_3(path: Path) -> None:
    submit(path)
    with (
        running(SimulatorConfig(batch_seconds=0.2)) as simulator,
        started(path, simulator, "--give-up-after", "2s") as run,
    ):
        assert run.end() == 3
        assert run.said[-1].startswith("llm-ledger: gave up after ")
        assert run.said[-1].endswith("; nothing is lost, run again to go on")
        with Ledger.open(f"sqlite:///{path}") as ledger:
            assert len(list(requests(ledger))) == MANY
            assert verify(ledger.database).problems == ()
