"""What a batch's counts and results should not be, and are: put into words, and judged. Pure.

Results that lack items are fetched again. What is missing from every whole reading over a day is lost, and so is
what could not be read any more after the time for which the provider keeps it; one look proves neither.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from datetime import datetime, timedelta
from hashlib import sha256
from itertools import groupby, islice
from typing import Final

from ledger.events import BatchEnded, BatchPolled, EventData
from ledger.projections import BatchRow

__all__ = ["EVERYTHING", "digest", "gone", "joined", "lack", "looks", "lost", "miscounted"]

EVERYTHING: Final = "everything"
"""`BatchPolled.lacking` of a look that found no results, or not all of what there is of them."""

_LOOKS: Final = 3
_MISSING_PATIENCE: Final = timedelta(hours=24)
_TOLD: Final = 5


def joined(*parts: str | None) -> str | None:
    """Several remarks in one line; None if there is none."""
    return "; ".join(part for part in parts if part) or None


def miscounted(batch: BatchRow, total: int) -> str | None:
    """What to say if the provider counts more or fewer items than it was sent."""
    if total == batch.request_count:
        return None
    return f"the provider counts {total:,} items, it was sent {batch.request_count:,}"


def digest(missing: Sequence[int]) -> str:
    """What tells one set of missing items from another."""
    return sha256(",".join(map(str, missing)).encode()).hexdigest()[:16]


def lack(missing: Sequence[int]) -> str:
    """A whole reading that lacks these items, in ascending order, in words."""
    runs = [f"{first}" if first == last else f"{first}-{last}" for first, last in _runs(missing)]
    which = ", ".join(runs[:_TOLD]) + (", …" if len(runs) > _TOLD else "")
    return f"the results file ended early: {len(missing):,} items are missing ({which})"


def looks(newest_first: Iterable[EventData], lacking: str) -> Iterator[datetime]:
    """When, by the provider's clock, earlier looks found the same missing; newest first.

    Looks that broke off tell nothing of what a whole reading lacks and are passed over; a whole reading that lacked
    something else begins the count anew.
    """
    for data in newest_first:
        if isinstance(data, BatchEnded):
            return
        if not isinstance(data, BatchPolled) or data.lacking is None:
            continue
        if data.lacking == lacking and data.provider_time is not None:
            yield data.provider_time
        elif data.lacking not in (lacking, EVERYTHING):
            return


def lost(instants: Iterable[datetime]) -> bool:
    """Whether whole readings at these instants, newest first, are reason enough to give up what all of them lack."""
    newest: datetime | None = None
    for number, instant in enumerate(instants, start=1):
        newest = newest or instant
        if number >= _LOOKS and newest - instant >= _MISSING_PATIENCE:
            return True
    return False


def gone(instants: Iterable[datetime], kept_until: datetime) -> bool:
    """Whether looks in vain at these instants, newest first, are reason enough to give up results kept until then."""
    last = list(islice(instants, _LOOKS))
    return len(last) == _LOOKS and min(last) >= kept_until


def _runs(numbers: Sequence[int]) -> Iterator[tuple[int, int]]:
    """First and last of each stretch without a gap."""
    for _, run in groupby(enumerate(numbers), key=lambda pair: pair[1] - pair[0]):
        stretch = [number for _, number in run]
        yield stretch[0], stretch[-1]
