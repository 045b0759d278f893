"""Several processes of `llm-ledger run` on one ledger: who of them holds what, and what befalls them."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Mapping
from itertools import islice
from pathlib import Path
from types import TracebackType
from typing import NamedTuple, Self

from sqlalchemy import select

from ledger import Ledger, schema
from ledger.backends.postgres import PostgresDatabase
from ledger.backends.sqlite import SQLiteDatabase
from ledger.errors import DatabaseUnusable

__all__ = ["Fleet", "Hold", "wait"]

ROOT = Path(__file__).resolve().parents[2]

PATIENCE_SECONDS = 60.0


class Hold(NamedTuple):
    """A batch in the hands of a process."""

    batch: str
    status: str
    process: int
    fence: int


def wait(reached: Callable[[], bool], what: str) -> None:
    """Wait until something is so."""
    deadline = time.monotonic() + PATIENCE_SECONDS
    while not reached():
        assert time.monotonic() < deadline, f"never: {what}"
        time.sleep(0.02)


class Fleet:
    """So many processes, ended with the block whatever they are doing. What they say is in files of `folder`."""

    def __init__(self, ledger: Ledger, url: str, folder: Path, environ: Mapping[str, str], *, size: int) -> None:
        self._ledger = ledger
        self._url = url
        self._folder = folder
        strange = ("LLM_LEDGER_", "ANTHROPIC_")
        rest = {name: value for name, value in os.environ.items() if not name.startswith(strange)}
        self._environ = rest | {"LLM_LEDGER_DATABASE_URL": url} | environ
        self._processes = {process.pid: process for process in map(self._start, range(size))}

    def _start(self, number: int) -> subprocess.Popen[bytes]:
        with (self._folder / f"worker-{number}.log").open("wb") as log:
            return subprocess.Popen(
                [sys.executable, "-m", "llm_ledger", "run"], cwd=ROOT, env=self._environ, stdout=log, stderr=log
            )

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for process in self._processes.values():
            process.kill()
            process.wait()

    @property
    def living(self) -> list[int]:
        """Those that have not ended, in the order of their start."""
        return [pid for pid, process in self._processes.items() if process.poll() is None]

    def holds(self) -> list[Hold]:
        """What is in whose hands at this moment."""
        lease, batch = schema.leases.c, schema.batches.c
        query = select(batch.id, batch.status, lease.owner, lease.fence).where(lease.lease_until > 0)
        with self._ledger.read() as connection:
            rows = connection.execute(query.join_from(schema.batches, schema.leases, batch.id == lease.id)).all()
        return [Hold(row.id, row.status, int(row.owner.rsplit(":", 2)[1]), row.fence) for row in rows]

    def all_at_work(self) -> None:
        """Wait until each of them has held something."""
        seen: set[int] = set()

        def reached() -> bool:
            seen.update(hold.process for hold in self.holds())
            return seen >= set(self._processes)

        wait(reached, f"all of {list(self._processes)} at work")

    def kill(self, process: int) -> None:
        """SIGKILL."""
        os.kill(process, signal.SIGKILL)
        assert self._processes[process].wait() == -signal.SIGKILL

    def stop_while(self, status: str) -> Hold:
        """SIGSTOP a process in the middle of a step with a batch of that status, in no transaction that matters."""
        found: list[Hold] = []
        before: set[Hold] = set()

        def reached() -> bool:
            present = {hold for hold in self.holds() if hold.status == status and hold.process in self.living}
            # One that was seen before takes its time, and is likely to be caught.
            found.extend(islice(filter(self._stopped_with, sorted(before & present)), 1))
            before.clear()
            before.update(present)
            return bool(found)

        wait(reached, f"a process stopped in the middle of {status}")
        return found[0]

    def _stopped_with(self, hold: Hold) -> bool:
        os.kill(hold.process, signal.SIGSTOP)
        _, wait_status = os.waitpid(hold.process, os.WUNTRACED)
        assert os.WIFSTOPPED(wait_status)
        if hold in self.holds() and self._others_can_go_on(hold):
            return True
        self.go_on(hold)
        return False

    def _others_can_go_on(self, hold: Hold) -> bool:
        postgres = self._ledger.database.dialect == "postgresql"
        database = (
            PostgresDatabase(self._url, lock_timeout="500ms")
            if postgres
            else SQLiteDatabase(self._url, busy_seconds=0.5)
        )
        try:
            with database.write() as connection:
                connection.execute(select(schema.ledger_head).with_for_update())
                connection.execute(select(schema.leases).where(schema.leases.c.id == hold.batch).with_for_update())
            return True
        except DatabaseUnusable:
            return False
        finally:
            database.close()

    def go_on(self, hold: Hold) -> None:
        """SIGCONT."""
        os.kill(hold.process, signal.SIGCONT)

    def end(self) -> None:
        """SIGTERM all that live, which they obey."""
        living = [self._processes[pid] for pid in self.living]
        for process in living:
            process.terminate()
        assert [process.wait(PATIENCE_SECONDS) for process in living] == [0] * len(living)

    def said(self, process: int) -> list[str]:
        """The lines that one of them has said."""
        number = list(self._processes).index(process)
        return (self._folder / f"worker-{number}.log").read_text().splitlines()
