"""Which rollup rows make up a period: coarse ones inside, fine ones at its edges."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime, tzinfo
from typing import Final
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

import msgspec

from ledger.errors import InputError
from ledger.projections import DAY, HOUR, QUARTER, TOTAL

__all__ = ["Span", "cover", "cover_days", "parse_instant", "zone"]

END_OF_TIME: Final = 1 << 40
"""Seconds; far beyond any event, and a multiple of nothing that matters."""


class Span(msgspec.Struct, frozen=True):
    """Rows of one grain with `start` <= bucket < `end`, in seconds since 1970."""

    grain: int
    start: int
    end: int


def zone(name: str) -> tzinfo:
    """The time zone of that IANA name. Raises `InputError`."""
    try:
        return UTC if name.upper() == "UTC" else ZoneInfo(name)
    except (ZoneInfoNotFoundError, ValueError, OSError):
        raise InputError(f"{name!r} is no time zone; use an IANA name such as Europe/Berlin") from None


def parse_instant(text: str, where: tzinfo) -> datetime:
    """An ISO 8601 date or instant, in that zone unless it names its own offset, on a quarter hour.

    Raises `InputError`: counts are kept by quarter hour, and finer questions have no exact answer.
    """
    try:
        instant = datetime.fromisoformat(text)
        instant = (instant if instant.tzinfo is not None else instant.replace(tzinfo=where)).astimezone(UTC)
    except (ValueError, OverflowError):  # the latter within a day of the years 1 and 9999
        raise InputError(f"{text!r} is no date; write 2026-11-22 or 2026-11-22T14:30") from None
    if instant.timestamp() % QUARTER:
        raise InputError(f"{text!r} is not on a quarter hour, and that is how finely the ledger counts")
    return instant


def cover(since: datetime | None, until: datetime | None) -> list[Span]:
    """The fewest spans that make up [since, until) exactly; None is unbounded."""
    if since is None and until is None:
        return [Span(TOTAL, 0, 1)]
    return _spans(since, until, (DAY, HOUR, QUARTER))


def cover_days(since: datetime | None, until: datetime | None, where: tzinfo) -> list[Span]:
    """The same period in spans of which no bucket straddles a midnight of that zone.

    Offsets have changed over the years, by quarters of an hour: only the finest rows fit every zone but UTC.
    """
    return _spans(since, until, (DAY, HOUR, QUARTER) if where is UTC else (QUARTER,))


def _spans(since: datetime | None, until: datetime | None, grains: tuple[int, ...]) -> list[Span]:
    start = int(since.timestamp()) if since is not None else 0
    end = int(until.timestamp()) if until is not None else END_OF_TIME - END_OF_TIME % DAY
    return list(_split(start, end, grains))


def _split(start: int, end: int, grains: tuple[int, ...]) -> Iterator[Span]:
    grain, *finer = grains
    inner_start, inner_end = -(-start // grain) * grain, end // grain * grain
    if inner_start >= inner_end:
        if finer:
            yield from _split(start, end, tuple(finer))
        return
    if finer:
        yield from _split(start, inner_start, tuple(finer))
    yield Span(grain, inner_start, inner_end)
    if finer:
        yield from _split(inner_end, end, tuple(finer))
