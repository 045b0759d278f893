"""What failed in a way that no step foresaw: said once, a bug with its traceback, and left alone for a while."""

from __future__ import annotations

import logging
from typing import Final

from ledger.clock import Clock
from ledger.errors import LedgerError
from scheduler.rests import Rests

__all__ = ["Mishaps"]

_log = logging.getLogger(__name__)

REST_SECONDS: Final = 10.0


class Mishaps(Rests[str, Exception]):
    """The failures in force, by what failed (a batch id, a job).

    One batch that breaks its step on every attempt neither stops the others nor fills the log.
    """

    def __init__(self, clock: Clock) -> None:
        super().__init__(clock, lambda times: REST_SECONDS)

    def happened(self, what: str, error: Exception) -> Exception | None:
        """It failed."""
        before = super().happened(what, error)
        if repr(before) != repr(error):
            if isinstance(error, LedgerError):
                _log.error("%s failed: %s; tried again every %.0f s", what, error, REST_SECONDS)
            else:
                _log.error("%s failed; tried again every %.0f s", what, REST_SECONDS, exc_info=error)
        return before
