"""What a forked child goes on with. Real forks are in tests/contract/test_writer_processes.py."""

from __future__ import annotations

import subprocess
import sys
import threading
from collections.abc import Sequence
from pathlib import Path

import msgspec
import pytest

from ledger import Ledger, NewEvent
from ledger.backends import sqlite
from ledger.errors import DatabaseUnusable
from ledger.events import ConfigChanged
from ledger.spool import Spool
from ledger.turns import Append
from ledger.writer import Writer
from tests.support.clock import NOON, seeded_ids

ROOT = Path(__file__).resolve().parents[3]

ids = seeded_ids(seed=9)


def note(stream: str) -> NewEvent:
    return NewEvent(f"config/{stream}", 1, ConfigChanged(version="", config=msgspec.Raw(b"{}")), ids.new(), NOON)


FORK = """
import os
from ledger.forks import survives_forks

class Noting:
    def __init__(self, name):
        self.name = name
        survives_forks(self)

    def before_fork(self):
        os.write(1, f"{self.name} rests;".encode())

    def after_fork(self, *, child):
        os.write(1, f"{self.name} {'begins' if child else 'goes on'};".encode())

kept, gone = Noting("kept"), Noting("gone")
del gone
child = os.fork()
if child:
    os.waitpid(child, 0)
"""


def test_whoever_lives_is_told_of_a_fork() -> None:
    run = subprocess.run([sys.executable, "-c", FORK], cwd=ROOT, capture_output=True, text=True, check=True)
    first, *others = run.stdout.removesuffix(";").split(";")
    assert first == "kept rests"
    assert sorted(others) == ["kept begins", "kept goes on"]


def test_a_childs_writer_begins_with_nothing_of_its_parents(tmp_path: Path) -> None:
    stored: list[str] = []
    writing, gate = threading.Event(), threading.Event()

    class Target:
        def append_all(self, appends: Sequence[Append]) -> None:
            writing.set()
            assert gate.wait(10)
            for append in appends:
                stored.extend(event.stream_id for event in append.events)
                append.positions = [len(stored)]

    spool = Spool(tmp_path / "ledger.db", max_bytes=10_000)
    writer = Writer(Target, spool, capacity=1)
    writer.submit([note("written")])
    assert writing.wait(10)
    for name in ("queued", "spooled"):
        writer.record([note(name)])
    parents = spool.path
    writer.before_fork()
    writer.after_fork(child=True)
    assert writer.flush(0)
    assert (writer.spooled, writer.dropped) == (0, 0)
    assert spool.path != parents
    gate.set()
    writer.submit([note("child")]).result(10)
    assert "config/queued" not in stored
    writer.close()
    assert parents.exists()


@pytest.fixture
def _forgiving(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sqlite, "FORK_SECONDS", 0.01)
    monkeypatch.setattr(sqlite, "_spoilt", set())


@pytest.mark.usefixtures("_forgiving")
def test_a_child_of_a_busy_ledger_never_touches_its_file(tmp_path: Path) -> None:
    url = f"sqlite:///{tmp_path / 'ledger.db'}"
    with Ledger.open(url) as ledger:
        with ledger.read():
            ledger.database.before_fork()
            ledger.database.after_fork(child=False)
        assert ledger.head().position == 1
        with ledger.read():
            ledger.database.before_fork()
            ledger.database.after_fork(child=True)
        for use in (ledger.head, lambda: Ledger.open(url)):
            with pytest.raises(
                DatabaseUnusable, match=r"in use when this process was forked.*start the process by spawn"
            ):
                use()


@pytest.mark.usefixtures("_forgiving")
def test_a_fork_waits_for_users_and_lets_no_new_ones_in(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sqlite, "FORK_SECONDS", 10)
    reading, enough = threading.Event(), threading.Event()
    with Ledger.open(f"sqlite:///{tmp_path / 'ledger.db'}") as ledger:

        def read() -> None:
            with ledger.read():
                reading.set()
                assert enough.wait(10)
                ledger.head()  # within its own use nobody waits for the fork

        reader = threading.Thread(target=read)
        reader.start()
        assert reading.wait(10)
        newcomers = [threading.Thread(target=ledger.head) for _ in range(3)]
        forking = threading.Thread(
            target=lambda: (ledger.database.before_fork(), ledger.database.after_fork(child=False))
        )
        forking.start()
        for one in newcomers:
            one.start()
        enough.set()
        for one in (forking, reader, *newcomers):
            one.join(10)
            assert not one.is_alive()
        assert ledger.head().position == 1


OPENING = """
import os, sys, threading
from ledger import Ledger
from ledger.backends import open_database

database = open_database(sys.argv[1])
reading, done = threading.Event(), threading.Event()

def note(ledger, number):
    with ledger.database.write() as connection:
        connection.exec_driver_sql("INSERT INTO anchors VALUES (?, x'00', 0)", (number,))

def use():
    with database.read() as connection:
        connection.exec_driver_sql("SELECT 1").all()
        reading.set()

thread = threading.Thread(target=use)
thread.start()
reading.wait()
thread.join()
opened, closed = os.pipe(), os.pipe()
if (child := os.fork()) == 0:
    ledger = Ledger.open(sys.argv[1])
    note(ledger, 6)
    os.write(opened[1], b"x")
    os.read(closed[0], 1)
    note(ledger, 7)
    os._exit(0)
os.read(opened[0], 1)
database.close()
os.write(closed[1], b"x")
sys.exit(os.waitpid(child, 0)[1])
"""


def test_a_database_that_no_ledger_holds_yet_survives_a_fork_too(tmp_path: Path) -> None:
    url = f"sqlite:///{tmp_path / 'ledger.db'}"
    Ledger.open(url).close()
    subprocess.run([sys.executable, "-c", OPENING, url], cwd=ROOT, check=True)
    with Ledger.open(url) as ledger, ledger.read() as connection:
        assert connection.exec_driver_sql("SELECT count(*) FROM anchors").scalar() == 2
