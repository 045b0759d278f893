"""Time, injected. Everything in the ledger is UTC; storage is whole microseconds since 1970."""

from __future__ import annotations

import time
from datetime import UTC, datetime, timedelta
from typing import Protocol

__all__ = ["Clock", "SystemClock", "from_micros", "to_micros"]

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_MICROSECOND = timedelta(microseconds=1)


class Clock(Protocol):
    """Where time comes from: `now` for what is written down, `monotonic` for what is measured."""

    def now(self) -> datetime:
        """The present instant, UTC."""
        ...

    def monotonic(self) -> float:
        """Seconds on a clock that never jumps."""
        ...


def _elapsed() -> float:
    """Seconds that have passed, those included in which the machine was suspended, where it can tell."""
    return time.clock_gettime(time.CLOCK_BOOTTIME) if hasattr(time, "CLOCK_BOOTTIME") else time.monotonic()


class SystemClock:
    """The machine's own clocks."""

    def now(self) -> datetime:
        return datetime.now(UTC)

    def monotonic(self) -> float:
        return _elapsed()


def to_micros(instant: datetime) -> int:
    """Whole microseconds since 1970-01-01 UTC, exactly (a float timestamp loses the last digits)."""
    return (instant - _EPOCH) // _MICROSECOND


def from_micros(micros: int) -> datetime:
    """The UTC instant that `to_micros` wrote down."""
    return _EPOCH + timedelta(microseconds=micros)
