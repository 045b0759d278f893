"""The writer when its process forks, ends or dies: nothing acknowledged is lost, and nothing is written twice."""

from __future__ import annotations

import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from sqlalchemy import select

from ledger import Ledger, schema
from ledger.backends import open_database
from ledger.migrate import upgrade
from ledger.spool import spool_files
from ledger.verify import verify
from tests.support.leaving import EVENTS, THREADS

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture
def spools(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    folder = tmp_path / "spools"
    monkeypatch.setenv("LLM_LEDGER_SPOOL", str(folder))
    return folder


@pytest.fixture
def url(shared_url: str, spools: Path) -> str:
    database = open_database(shared_url)
    upgrade(database)
    database.close()
    return shared_url


@contextmanager
def process(scenario: str, url: str) -> Iterator[subprocess.Popen[str]]:
    """It stands ready, and goes on at the end; then it is over, and so are its children."""
    command = [sys.executable, "-m", "tests.support.leaving", scenario, url]
    with subprocess.Popen(
        command, cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    ) as started:
        assert started.stdout is not None
        assert started.stdout.readline() == "ready\n", started.communicate(timeout=60)[1]
        yield started


def go(started: subprocess.Popen[str], code: int = 0) -> str:
    said, complaints = started.communicate("go\n", timeout=120)
    assert started.returncode == code, complaints
    assert "Traceback" not in complaints, complaints
    return said


def recorded(url: str) -> list[str]:
    """What the log holds, and it holds it well; spools are taken in on the way."""
    with Ledger.open(url) as ledger:
        assert verify(ledger.database).sound
        return sorted(
            event.stream_id.partition("/")[2] for event in ledger.events() if event.type == "config.changed"
        )


@contextmanager
def locked(url: str) -> Iterator[None]:
    database = open_database(url)
    with database.write() as connection:
        connection.execute(select(schema.ledger_head).with_for_update()).all()
        yield
    database.close()


def test_a_forked_child_goes_on_beside_its_parent(url: str, spools: Path) -> None:
    with process("forks", url) as started:
        go(started)
    names = ["parent", "child", *(f"thread{number}" for number in range(THREADS))]
    kinds = ("appended", "submitted", "recorded", "shared")
    assert recorded(url) == sorted(f"{name}-{kind}-{n}" for name in names for kind in kinds for n in range(EVENTS))
    assert not spools.exists()


def test_a_child_may_outlive_its_parent(url: str) -> None:
    with process("leaves", url) as started:
        go(started)
    assert recorded(url) == ["before", "child-early", "child-late", "child-submitted", "parent"]


def test_a_child_of_multiprocessing_flushes(url: str) -> None:
    with process("works", url) as started:
        go(started)
    assert recorded(url) == ["child", "parent"]


def test_the_end_of_a_process_flushes(url: str, spools: Path) -> None:
    with process("ends", url) as started:
        go(started)
    assert not spools.exists()
    assert recorded(url) == sorted(f"recorded-{number}" for number in range(EVENTS))


def test_at_the_end_of_a_process_a_locked_database_is_not_waited_for(url: str, spools: Path) -> None:
    with process("ends", url) as started, locked(url):
        go(started)
    assert len(list(spools.iterdir())) == 1
    assert recorded(url) == sorted(f"recorded-{number}" for number in range(EVENTS))
    assert list(spools.iterdir()) == []


def test_a_killed_process_leaves_its_spool(url: str, spools: Path) -> None:
    with process("dies", url) as started, locked(url):
        said = go(started, -signal.SIGKILL)
    spooled = int(said)
    assert spooled >= EVENTS - 2
    (path,) = spools.iterdir()
    assert spool_files(path.with_name(path.name.partition(".spool-")[0])) == [path]
    assert len(recorded(url)) == spooled
