"""What failed in a way that no step foresaw: said once, a bug with its traceback, and left alone for a while."""

from __future__ import annotations

import logging
import threading
from typing import Final

from ledger.clock import Clock
from ledger.errors import LedgerError

__all__ = ["Mishaps"]

_log = logging.getLogger(__name__)

REST_SECONDS: Final = 10.0


class Mishaps:
    """The failures in force, by what failed (a batch id, a job). Thread-safe.

    One batch that breaks its step on every attempt neither stops the others nor fills the log.
    """

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._lock = threading.Lock()
        self._errors: dict[str, Exception] = {}
        self._rests_until: dict[str, float] = {}

    @property
    def errors(self) -> dict[str, Exception]:
        """What failed last time it was tried, and how."""
        with self._lock:
            return dict(self._errors)

    def resting(self) -> list[str]:
        """What should not be tried again yet."""
        now = self._clock.monotonic()
        with self._lock:
            return [what for what, until in self._rests_until.items() if now < until]

    def happened(self, what: str, error: Exception) -> None:
        """It failed."""
        with self._lock:
            before = self._errors.get(what)
            self._errors[what] = error
            self._rests_until[what] = self._clock.monotonic() + REST_SECONDS
        if repr(before) != repr(error):
            if isinstance(error, LedgerError):
                _log.error("%s failed: %s; tried again every %.0f s", what, error, REST_SECONDS)
            else:
                _log.error("%s failed; tried again every %.0f s", what, REST_SECONDS, exc_info=error)

    def over(self, what: str) -> None:
        """It went well."""
        with self._lock:
            self._errors.pop(what, None)
            self._rests_until.pop(what, None)
