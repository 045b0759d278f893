"""What the budget keeps from being sent, as one worker found it."""

from __future__ import annotations

import logging
from typing import Final

from ledger.clock import Clock
from scheduler.budget import BudgetHold
from scheduler.rests import Rests

__all__ = ["STANDARD_CALLS", "Held"]

_log = logging.getLogger(__name__)

STANDARD_CALLS: Final = "standard calls"
"""Stands for every request that waits for one: what keeps one of them back keeps all."""

REST_SECONDS: Final = 60.0


class Held(Rests[str, BudgetHold]):
    """Batches and requests that were held back, by id: tried again after a minute, or as soon as money is freed."""

    def __init__(self, clock: Clock) -> None:
        super().__init__(clock, lambda times: REST_SECONDS)

    def happened(self, what: str, error: BudgetHold) -> BudgetHold | None:
        """It was held back. The log hears of the first of many."""
        if not self.errors:
            _log.warning("%s", error)
        return super().happened(what, error)

    def freed(self) -> None:
        """Something that was reserved has been settled: all may be tried."""
        self.wake()
