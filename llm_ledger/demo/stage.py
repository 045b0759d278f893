"""The processes of the demo. The product learns of the simulator by environment variables, and by nothing else."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

from ledger.errors import LedgerError

__all__ = ["Stage"]

BATCH_SIZE: Final = 50

_HURRIED: Final = {
    "LLM_LEDGER_BATCH_MAX_SIZE": str(BATCH_SIZE),
    "LLM_LEDGER_BATCH_TIMEOUT_SECONDS": "0.2",
    "LLM_LEDGER_POLL_MIN_SECONDS": "0.2",
    "LLM_LEDGER_POLL_MAX_SECONDS": "0.5",
    "LLM_LEDGER_LEASE_SECONDS": "2",
    "LLM_LEDGER_SUBMIT_QUIET_SECONDS": "1",
}
_PATIENCE_SECONDS: Final = 60.0
_LOOK_SECONDS: Final = 0.05


class Stage:
    """Runs `llm-ledger` commands in a folder, against the provider at `base_url`."""

    def __init__(self, folder: Path, base_url: str) -> None:
        self.folder = folder
        self.database_url = f"sqlite:///{folder / 'llm-ledger.db'}"
        theirs = {
            name: value for name, value in os.environ.items() if not name.startswith(("LLM_LEDGER_", "ANTHROPIC_"))
        }
        self._environment = {
            **theirs,
            **_HURRIED,
            "LLM_LEDGER_DATABASE_URL": self.database_url,
            "ANTHROPIC_API_KEY": "demo-key",
            "ANTHROPIC_BASE_URL": base_url,
            "NO_PROXY": "127.0.0.1",
            "no_proxy": "127.0.0.1",
        }

    def run(self, *arguments: str) -> str:
        """Run a command to its end; its stdout. Raises `LedgerError` if it fails."""
        with self._started(*arguments) as process:
            try:
                output, complaints = process.communicate(timeout=_PATIENCE_SECONDS)
            except subprocess.TimeoutExpired:
                raise LedgerError(f"llm-ledger {arguments[0]} did not end within {_PATIENCE_SECONDS:.0f} s") from None
        if process.returncode != 0:
            raise LedgerError(f"llm-ledger {arguments[0]} ended with {process.returncode}: {complaints.strip()}")
        return output.strip()

    def kill_when(self, moment: Callable[[], bool], *arguments: str) -> None:
        """Start a command, wait for the moment, and kill it the hard way: SIGKILL, nothing gets to clean up."""
        with self._started(*arguments) as process:
            deadline = time.monotonic() + _PATIENCE_SECONDS
            while not moment():
                if process.poll() is not None or time.monotonic() > deadline:
                    raise LedgerError("the moment for the crash never came")
                time.sleep(_LOOK_SECONDS)

    @contextmanager
    def _started(self, *arguments: str) -> Iterator[subprocess.Popen[str]]:
        process = subprocess.Popen(  # noqa: S603 - our own command
            [sys.executable, "-m", "llm_ledger", *arguments],
            env=self._environment,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            encoding="utf-8",
        )
        with process:
            try:
                yield process
            finally:
                process.kill()
