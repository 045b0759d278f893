"""Whether the ledger's database can be used at the moment: while it cannot, all hands rest, and one of them asks.

A restart, a lock, a full disk: nothing is lost by waiting. It is said once when it begins and once when it is over,
however often it comes and goes in between.
"""

from __future__ import annotations

import logging
import threading
from typing import Final

from ledger import Ledger
from ledger.errors import DatabaseUnavailable

__all__ = ["Outage"]

_log = logging.getLogger(__name__)

_FIRST_PAUSE: Final = 1.0
_LONGEST_PAUSE: Final = 15.0

_PROOF_SECONDS: Final = 5.0
"""For so long it has to go well, with nothing to do meanwhile, until the outage counts as over. What asks for no
room may well go through on a disk that is full."""


class Outage:
    """Shared by all who use one ledger in a process. Thread-safe.

    `error` is the trouble in force, None while there is none.
    """

    def __init__(self, ledger: Ledger) -> None:
        self._ledger = ledger
        self._lock = threading.Lock()
        self._asking = threading.Lock()
        self._began = self._rests_until = 0.0
        self._well_since: float | None = None
        self._pause = _FIRST_PAUSE
        self.error: DatabaseUnavailable | None = None

    def happened(self, error: DatabaseUnavailable) -> None:
        """Somebody met it."""
        with self._lock:
            now = self._ledger.clock.monotonic()
            if self.error is None:
                self._began, self._pause = now, _FIRST_PAUSE
                _log.warning("the ledger's database cannot be used now: %s; trying again, nothing is lost", error)
            elif now < self._rests_until:
                return  # another hand met the same, and the pause is long enough for both
            self.error = error
            self._well_since = None
            self._rests_until = now + self._pause
            self._pause = min(self._pause * 2, _LONGEST_PAUSE)

    def lasts(self) -> bool:
        """Whether to leave the database alone. Asks it, when a pause is over: one hand for all."""
        if self.error is None:
            return False
        if self._well_since is not None:
            self._proven(_PROOF_SECONDS)
            return False
        if self._ledger.clock.monotonic() < self._rests_until or not self._asking.acquire(blocking=False):
            return True
        try:
            self._ledger.try_writing()
        except DatabaseUnavailable as error:
            self.happened(error)
            return True
        finally:
            self._asking.release()
        with self._lock:
            self._well_since = self._ledger.clock.monotonic()
        return False

    def worked(self) -> None:
        """Something was stored."""
        if self.error is not None:
            self._proven(0.0)

    def failing_for(self) -> float:
        """Seconds since it began; 0 while there is no trouble."""
        return self._ledger.clock.monotonic() - self._began if self.error is not None else 0.0

    def _proven(self, seconds: float) -> None:
        with self._lock:
            now = self._ledger.clock.monotonic()
            if self.error is not None and self._well_since is not None and now - self._well_since >= seconds:
                self.error = None
                _log.info("the ledger's database can be used again, after %.0f s", self._well_since - self._began)
