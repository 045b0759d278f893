"""Logs on stderr, one line per record, in UTC. Our own packages speak; the libraries only when something is wrong."""

from __future__ import annotations

import logging
import sys
import time
from collections.abc import Callable
from typing import Final

from llm_ledger.cli.words import one_line

__all__ = ["log_to"]

_OURS: Final = ("ledger", "scheduler", "llm_ledger")


class _OneLine(logging.Formatter):
    converter = staticmethod(time.gmtime)

    def format(self, record: logging.LogRecord) -> str:
        text = record.getMessage()
        if record.exc_info and record.exc_info[1] is not None:
            text += f": {type(record.exc_info[1]).__name__}: {record.exc_info[1]}"
        return f"{self.formatTime(record, '%Y-%m-%dT%H:%M:%SZ')} {record.levelname.lower()} {one_line(text)}"


class _Lines(logging.Handler):
    def __init__(self, write: Callable[[str], None]) -> None:
        super().__init__()
        self._write = write
        self.setFormatter(_OneLine())

    def emit(self, record: logging.LogRecord) -> None:
        try:
            self._write(self.format(record))
        except Exception:
            self.handleError(record)


def log_to(write: Callable[[str], None] | None = None) -> None:
    """Send log lines to `write`, by default to stderr."""
    root = logging.getLogger()
    for handler in [one for one in root.handlers if isinstance(one, _Lines)]:
        root.removeHandler(handler)
    root.addHandler(_Lines(write or _to_stderr))
    root.setLevel(logging.WARNING)
    for name in _OURS:
        logging.getLogger(name).setLevel(logging.INFO)


def _to_stderr(line: str) -> None:
    sys.stderr.write(f"{line}\n")
