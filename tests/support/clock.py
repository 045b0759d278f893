"""Time that stands still until a test moves it, and ids that are the same in every run."""

from __future__ import annotations

import random
from datetime import UTC, datetime, timedelta

from ledger.ids import IdFactory

__all__ = ["FakeClock", "seeded_ids"]

NOON = datetime(2026, 11, 22, 12, tzinfo=UTC)


class FakeClock:
    """Stands at `now`. Each reading moves it by `step`, so that instants differ where a test wants them to."""

    def __init__(self, now: datetime = NOON, step: timedelta = timedelta()) -> None:
        self._now = now
        self._step = step
        self._began = now

    def now(self) -> datetime:
        present = self._now
        self._now += self._step
        return present

    def monotonic(self) -> float:
        return (self._now - self._began).total_seconds()

    def advance(self, seconds: float = 0, **units: float) -> None:
        """Move on: `advance(30)`, `advance(hours=2)`."""
        self._now += timedelta(seconds=seconds, **units)

    def set(self, now: datetime) -> None:
        """Jump to an instant. `monotonic` jumps along."""
        self._now = now


def seeded_ids(clock: FakeClock | None = None, seed: int = 0) -> IdFactory:
    """An id factory whose ids follow from the clock and the seed."""
    return IdFactory(clock or FakeClock(), random.Random(seed).randbytes)
