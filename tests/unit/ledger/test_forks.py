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


def test_a_child_of_a_busy_ledger_is_told_to_open_it_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sqlite, "FORK_SECONDS", 0.01)
    with Ledger.open(f"sqlite:///{tmp_path / 'ledger.db'}") as ledger:
        with ledger.read():
            ledger.before_fork()
            ledger.after_fork(child=False)
        assert ledger.head().position == 1
        with ledger.read():
            ledger.before_fork()
            ledger.after_fork(child=True)
        with pytest.raises(DatabaseUnusable, match="was in use when this process was forked: open it after the fork"):
            ledger.head()
