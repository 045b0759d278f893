"""A clock that stands still, and whose wall time can be set like that of a machine."""

from __future__ import annotations

from datetime import timedelta

from tests.support.clock import FakeClock


class ManualClock(FakeClock):
    """`advance` passes time; `jump` sets the wall clock, which the monotonic one does not notice."""

    _jumped = 0.0

    def monotonic(self) -> float:
        return super().monotonic() - self._jumped

    def jump(self, seconds: float) -> None:
        self._now += timedelta(seconds=seconds)
        self._jumped += seconds
