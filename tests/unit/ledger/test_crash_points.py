"""Crash points: what the environment may name, in whose course a point is reached, and the death itself."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import AbstractContextManager, nullcontext
from pathlib import Path

import pytest
from sqlalchemy import func, insert, select

from ledger import Ledger, crash_points, schema
from ledger.backends import open_database
from ledger.crash_points import VARIABLE, obey, reached, watch, within
from ledger.errors import ConfigurationError
from tests.support.databases import shared_url

DYING = """
from ledger.crash_points import obey, reached, within
obey()
for number in range(3):
    print(number, flush=True)
    with within("poll"):
        reached("commit.before")
    reached("commit.after")
"""


@pytest.fixture(autouse=True)
def _nothing_is_watched() -> Iterator[None]:
    yield
    crash_points._watchers.clear()


@pytest.fixture
def seen() -> list[str]:
    """The points that are reached from now on."""
    seen: list[str] = []
    watch(seen.append)
    return seen


def test_a_point_belongs_to_the_step_it_is_reached_in(seen: list[str]) -> None:
    with within("poll"):
        reached("retrieve.before")
        with within("lease"):
            reached("commit.before")
        reached("retrieve.after")
    reached("commit.after")
    assert seen == ["poll.retrieve.before", "lease.commit.before", "poll.retrieve.after", "ledger.commit.after"]


def test_a_step_that_fails_is_over(seen: list[str]) -> None:
    with pytest.raises(KeyError), within("poll"):
        raise KeyError
    reached("commit.before")
    assert seen == ["ledger.commit.before"]


def test_every_thread_is_in_a_step_of_its_own(seen: list[str]) -> None:
    with within("poll"):
        thread = threading.Thread(target=reached, args=("commit.before",))
        thread.start()
        thread.join()
    assert seen == ["ledger.commit.before"]


def test_before_a_commit_nobody_sees_it_and_after_it_everybody(tmp_path: Path) -> None:
    url = shared_url(tmp_path)
    with Ledger.open(url) as ledger, Ledger.open(url) as other:
        seen: list[tuple[str, int]] = []

        def look(point: str) -> None:
            with other.read() as connection:
                rows = connection.scalar(select(func.count()).select_from(schema.anchors))
            seen.append((point, rows or 0))

        watch(look)
        with within("record"), ledger.database.write() as connection:
            connection.execute(insert(schema.anchors).values(position=9, hash=bytes(32), exported_at=0))
    assert seen == [("record.commit.before", 0), ("record.commit.after", 1)]


def test_a_transaction_that_fails_reaches_no_commit(ledger: Ledger, seen: list[str]) -> None:
    with pytest.raises(KeyError), ledger.database.write():
        raise KeyError
    assert seen == []


def test_without_the_variable_nobody_watches() -> None:
    assert not obey({})
    assert not obey({VARIABLE: " "})
    unwatched: AbstractContextManager[None] = within("poll")
    assert isinstance(unwatched, nullcontext)


def test_with_it_somebody_does() -> None:
    assert obey({VARIABLE: "submit.create.after"})
    assert obey({})


@pytest.mark.parametrize(
    "name",
    [
        "submit",
        "submit.create",
        "submit.create.after.all",
        "sbmit.create.after",
        "submit.creat.after",
        "submit.create.later",
        "submit.create.after#",
        "submit.create.after#0",
        "submit.create.after#-1",
        "submit.create.after#two",
        "submit.create.after#²",
    ],
)
def test_a_name_that_no_point_has_is_refused(name: str) -> None:
    with pytest.raises(ConfigurationError) as refused:
        obey({VARIABLE: name})
    said = str(refused.value)
    assert said.startswith(f"{VARIABLE}={name} is no crash point; write STEP.SUBJECT.MOMENT[#NTH] (STEP: ledger ")
    assert "\n" not in said
    assert not obey({})


def test_who_opens_a_ledger_is_told_of_a_wrong_name(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(VARIABLE, "nowhere")
    with pytest.raises(ConfigurationError, match="nowhere is no crash point"):
        open_database("sqlite://")


@pytest.mark.parametrize(
    ("name", "told"),
    [("poll.commit.before", "0\n"), ("ledger.commit.after#2", "0\n1\n"), ("poll.commit.after", "0\n1\n2\n")],
)
def test_the_process_dies_there_and_then(name: str, told: str) -> None:
    died = subprocess.run(
        [sys.executable, "-c", DYING], env=os.environ | {VARIABLE: name}, capture_output=True, text=True, check=False
    )
    assert died.stdout == told
    assert died.returncode == (0 if told == "0\n1\n2\n" else -signal.SIGKILL)
