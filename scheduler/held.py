"""What the budget keeps from being sent, as one worker found it."""

from __future__ import annotations

import logging
import threading
from typing import Final

from ledger.clock import Clock
from scheduler.budget import BudgetHold

__all__ = ["STANDARD_CALLS", "Held"]

_log = logging.getLogger(__name__)

STANDARD_CALLS: Final = "standard calls"
"""Stands for every request that waits for one: what keeps one of them back keeps all."""

REST_SECONDS: Final = 60.0


class Held:
    """Batches and requests that were held back, by id: tried again after a minute, or as soon as money is freed.

    Not on record: whoever runs with another budget tries at once. Thread-safe.
    """

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._lock = threading.Lock()
        self._errors: dict[str, BudgetHold] = {}
        self._rests_until: dict[str, float] = {}

    @property
    def errors(self) -> dict[str, BudgetHold]:
        """What was held back when it was last tried, and why."""
        with self._lock:
            return dict(self._errors)

    def resting(self) -> list[str]:
        """What should not be tried again yet."""
        now = self._clock.monotonic()
        with self._lock:
            return [what for what, until in self._rests_until.items() if now < until]

    def happened(self, what: str, error: BudgetHold) -> None:
        """It was held back. The log hears of the first of many."""
        with self._lock:
            if not self._errors:
                _log.warning("%s", error)
            self._errors[what] = error
            self._rests_until[what] = self._clock.monotonic() + REST_SECONDS

    def over(self, what: str) -> None:
        """It was sent, or is no longer to be."""
        with self._lock:
            self._errors.pop(what, None)
            self._rests_until.pop(what, None)

    def freed(self) -> None:
        """Something that was reserved has been settled: all may be tried."""
        with self._lock:
            self._rests_until.clear()
