"""The provider's clock: real time, faster or slower, and moved on by hand.

Every instant inside the simulator is an integer of microseconds since 1970-01-01 UTC, so that equal instants
are equal and durations add up exactly.
"""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime

__all__ = ["DAY", "HOUR", "MINUTE", "SECOND", "VirtualClock", "http_date", "instant", "moment", "rfc3339"]

SECOND = 1_000_000
MINUTE = 60 * SECOND
HOUR = 60 * MINUTE
DAY = 24 * HOUR

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


def instant(when: datetime) -> int:
    """Microseconds since the epoch of an aware datetime."""
    return (when - _EPOCH) // timedelta(microseconds=1)


def moment(at: int) -> datetime:
    """The UTC datetime of an instant."""
    return _EPOCH + timedelta(microseconds=at)


def rfc3339(at: int) -> str:
    """The spelling of times in the provider's JSON: `2026-11-22T09:52:43.000000Z`."""
    return moment(at).strftime("%Y-%m-%dT%H:%M:%S.%fZ")


def http_date(at: int) -> str:
    """The spelling of times in a `Date` header."""
    return format_datetime(moment(at), usegmt=True)


class VirtualClock:
    """Simulator time = `start` + real time since then × `scale` + what was advanced by hand. Never goes back.

    `ticks` is a monotonic nanosecond counter (`time.monotonic_ns`).
    """

    def __init__(self, *, start: int, scale: float, ticks: Callable[[], int]) -> None:
        self._ticks = ticks
        self._scale = scale
        self._anchor = start
        self._anchor_ticks = ticks()

    @property
    def scale(self) -> float:
        return self._scale

    def now(self) -> int:
        """The present instant."""
        return self._anchor + int((self._ticks() - self._anchor_ticks) * self._scale) // 1_000

    def advance(self, microseconds: int) -> None:
        """Jump ahead. Raises ValueError for a jump back."""
        if microseconds < 0:
            raise ValueError("time only runs forward")
        self._anchor += microseconds

    def set_scale(self, scale: float) -> None:
        """Run faster or slower from now on."""
        if scale < 0:
            raise ValueError("time only runs forward")
        self._anchor, self._anchor_ticks, self._scale = self.now(), self._ticks(), scale
