"""What was tried in vain and is left alone for a while, as one worker found it: not on record, others try at once."""

from __future__ import annotations

import threading
from collections.abc import Callable, Hashable
from typing import Generic, TypeVar

from ledger.clock import Clock

__all__ = ["Rests"]

What = TypeVar("What", bound=Hashable)
Cause = TypeVar("Cause", bound=Exception)


class Rests(Generic[What, Cause]):
    """The errors in force, by what ended in them. Goes by a clock that never jumps; thread-safe.

    `seconds` says how long the rest is that follows: given how often in a row it has been tried in vain before.
    """

    def __init__(self, clock: Clock, seconds: Callable[[int], float]) -> None:
        self._clock = clock
        self._seconds = seconds
        self._lock = threading.Lock()
        self._errors: dict[What, Cause] = {}
        self._times: dict[What, int] = {}
        self._until: dict[What, float] = {}

    @property
    def errors(self) -> dict[What, Cause]:
        """What was in vain when it was last tried, and why."""
        with self._lock:
            return dict(self._errors)

    def resting(self) -> list[What]:
        """What should not be tried again yet."""
        now = self._clock.monotonic()
        with self._lock:
            return [what for what, until in self._until.items() if now < until]

    def happened(self, what: What, error: Cause) -> Cause | None:
        """It was in vain. Returns what it ended in the time before, if that was in vain too."""
        with self._lock:
            before, times = self._errors.get(what), self._times.get(what, 0)
            self._errors[what], self._times[what] = error, times + 1
            self._until[what] = self._clock.monotonic() + self._seconds(times)
            return before

    def over(self, what: What) -> None:
        """It went well, or is no longer to be tried."""
        with self._lock:
            self._errors.pop(what, None)
            self._times.pop(what, None)
            self._until.pop(what, None)

    def wake(self) -> None:
        """All may be tried now; what came of them last stays told."""
        with self._lock:
            self._until.clear()
