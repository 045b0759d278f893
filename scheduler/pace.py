"""How soon to look for work again: at once after there was some, ever later while there is none."""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Final

from ledger.clock import Clock

__all__ = ["Pace"]

_GROWTH: Final = 2.0


class Pace:
    """Shared by all who look for the same work. Thread-safe.

    After a look in vain all of them rest for `least` seconds, then twice as long each time, up to `most`: what comes
    meanwhile waits no longer than it was waited for already. `clock` is asked each time, since it may be changed.
    """

    def __init__(self, clock: Callable[[], Clock], *, least: float, most: float) -> None:
        self._clock = clock
        self._least = least
        self._most = max(least, most)
        self._lock = threading.Lock()
        self._rest = 0.0
        self._until = 0.0

    def may_look(self) -> bool:
        """Whether a look is worth its queries now. If so, it counts as one in vain until `found` says otherwise."""
        with self._lock:
            now = self._clock().monotonic()
            if now < self._until:
                return False
            self._until = now + self._rest
            self._rest = min(max(self._rest * _GROWTH, self._least), self._most)
            return True

    def found(self) -> None:
        """There was work: there may be more at once."""
        with self._lock:
            self._rest = self._until = 0.0
