"""Where the story of `crash_story` is played: a provider, ledgers, and processes that die on order."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from itertools import count
from pathlib import Path
from shutil import copyfile

from ledger.backends import open_database
from ledger.crash_points import VARIABLE
from ledger.migrate import upgrade
from llm_ledger.simulator import RunningSimulator, running
from tests.support import postgres
from tests.support.crash_story import LATER, SIMULATOR, TRACE, environ_of, order_faults
from tests.support.databases import on_postgres

__all__ = ["Stage", "stage"]

REST_SECONDS = 1_000
"""On its own clock a process begins so long after the one before it, when leases and deadlines of that are over."""

ROOT = Path(__file__).resolve().parents[2]


class Stage:
    """One provider and one process that all others are forked from. Its scenes come one after the other."""

    def __init__(self, folder: Path, simulator: RunningSimulator, runner: subprocess.Popen[str]) -> None:
        assert runner.stdin is not None
        assert runner.stdout is not None
        self._folder = folder
        self._orders, self._reports = runner.stdin, runner.stdout
        self._scenes = count(1)
        self.simulator = simulator
        self._template = folder / "template.db"
        if not on_postgres():
            database = open_database(f"sqlite:///{self._template}")
            upgrade(database)
            database.close()
        assert self.live(self.scene()) == 0

    def scene(self) -> str:
        """Begin again: a provider that knows nothing yet. Returns the URL of a ledger without any event."""
        self._lives = count()
        self.simulator.reset()
        order_faults(self.simulator)
        if on_postgres():
            return postgres.fresh_database()
        file = self._folder / f"ledger-{next(self._scenes)}.db"
        copyfile(self._template, file)
        return f"sqlite:///{file}"

    def live(self, url: str, *, death: str | None = None) -> int:
        """Have a process live until it is done, or killed at a crash point. Returns its wait status."""
        return self._ordered(url, **({VARIABLE: death} if death else {}))

    def traced(self, url: str) -> list[str]:
        """Have a process live until it is done. Returns the crash points that it reached, in order."""
        trace = self._folder / "trace"
        trace.write_text("")
        assert self._ordered(url, **{TRACE: str(trace)}) == 0
        return trace.read_text().split()

    def _ordered(self, url: str, **more: str) -> int:
        later = {LATER: str(next(self._lives) * REST_SECONDS)}
        self._orders.write(json.dumps({**environ_of(url, self.simulator.base_url), **later, **more}) + "\n")
        self._orders.flush()
        return int(self._reports.readline())


@contextmanager
def stage(folder: Path) -> Iterator[Stage]:
    """A stage that is there within the block."""
    command = [sys.executable, "-m", "tests.support.crash_runner"]
    # Nobody lives to report on the coverage of lines: it would only take time.
    environ = {name: value for name, value in os.environ.items() if not name.startswith("COVERAGE_")}
    with postgres.dropped_afterwards(), running(SIMULATOR) as simulator:
        with subprocess.Popen(
            command, cwd=ROOT, env=environ, text=True, stdin=subprocess.PIPE, stdout=subprocess.PIPE
        ) as runner:
            yield Stage(folder, simulator, runner)
            runner.communicate()
        assert runner.returncode == 0
