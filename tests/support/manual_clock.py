"""A clock that stands still, and whose wall time can be set like that of a machine."""

from __future__ import annotations

from datetime import datetime, timedelta

from tests.support.clock import FakeClock

__all__ = ["LocalClock", "ManualClock"]


class ManualClock(FakeClock):
    """`advance` passes time; `jump` sets the wall clock, which the monotonic one does not notice."""

    _jumped = 0.0

    def monotonic(self) -> float:
        return super().monotonic() - self._jumped

    def jump(self, seconds: float) -> None:
        self._now += timedelta(seconds=seconds)
        self._jumped += seconds


class LocalClock:
    """The clock of one machine among several: it is `ahead` seconds ahead of the true time, and may be set."""

    def __init__(self, true: ManualClock, ahead: float = 0.0) -> None:
        self._true = true
        self.ahead = timedelta(seconds=ahead)

    def now(self) -> datetime:
        return self._true.now() + self.ahead

    def monotonic(self) -> float:
        return self._true.monotonic()

    def jump(self, seconds: float) -> None:
        """Set the wall clock, which the monotonic one does not notice."""
        self.ahead += timedelta(seconds=seconds)
