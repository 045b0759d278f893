"""Time buckets and tags of the rollups: counts are kept per quarter hour, hour, day (UTC) and in total."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Mapping
from typing import Final

import msgspec
from sqlalchemy import func, select

from ledger import schema
from ledger.projections.working_set import WorkingSet

__all__ = ["DAY", "GRAINS", "HOUR", "OTHER", "QUARTER", "TOTAL", "TagLimiter", "bucket", "coarser"]

QUARTER: Final = 900
HOUR: Final = 3600
DAY: Final = 86400
TOTAL: Final = 0
GRAINS: Final = (QUARTER, HOUR, DAY, TOTAL)
"""Seconds per bucket; TOTAL is one bucket for all time."""

OTHER: Final = "(other)"
MAX_VALUES: Final = 1000
"""Distinct values a tag keeps; later ones count under OTHER."""

_MICROS: Final = 1_000_000


def bucket(micros: int, grain: int = QUARTER) -> int:
    """Start of the bucket that the instant falls into, in seconds since 1970; 0 for TOTAL."""
    seconds = micros // _MICROS
    return seconds - seconds % grain if grain else 0


def coarser(start: int) -> Iterator[tuple[int, int]]:
    """(grain, bucket) of every grain that a quarter-hour bucket is part of, itself included."""
    for grain in GRAINS:
        yield grain, start - start % grain if grain else 0


class TagLimiter:
    """Which values of a tag have a row of their own. First come, first kept."""

    def __init__(self, rows: WorkingSet) -> None:
        self._rows = rows
        self._known: dict[str, set[str]] = {}
        self._room: dict[str, int] = {}
        self._new: list[tuple[str, str]] = []
        self._parsed: dict[str, tuple[tuple[str, str], ...]] = {}

    def load(self, counted: Iterable[Mapping[str, str]]) -> None:
        """Find out which of these requests' tag values are known already, and for how many there is room."""
        for tag, values in _values_by_tag(counted).items():
            known = self._known[tag] = self._kept(tag, values)
            if len(known) < len(values):
                kept = select(func.count()).where(schema.tag_values.c.tag == tag)
                self._room[tag] = MAX_VALUES - (self._rows.connection.scalar(kept) or 0)

    def recall(self, counted: Iterable[str]) -> None:
        """Look up the tags (JSON) of requests that counted before: each value was kept then, or it never will be."""
        forgotten: dict[str, dict[str, str]] = {
            tags: msgspec.json.decode(tags) for tags in set(counted) if tags not in self._parsed
        }
        known = {tag: self._kept(tag, values) for tag, values in _values_by_tag(forgotten.values()).items()}
        for tags, named in forgotten.items():
            kept = ((tag, value if value in known[tag] else OTHER) for tag, value in named.items())
            self._parsed[tags] = (("", ""), *kept)

    def _kept(self, tag: str, values: Collection[str]) -> set[str]:
        column = schema.tag_values.c
        query = select(column.value).where(column.tag == tag, column.value.in_(values))
        return set(self._rows.connection.scalars(query))

    def scopes(self, tags: str) -> tuple[tuple[str, str], ...]:
        """Every (tag, value) that a request with these tags (JSON) counts under; ("", "") is the count of all."""
        scopes = self._parsed.get(tags)
        if scopes is None:
            named: dict[str, str] = msgspec.json.decode(tags)
            scopes = (("", ""), *((tag, self._admit(tag, value)) for tag, value in named.items()))
            self._parsed[tags] = scopes
        return scopes

    def _admit(self, tag: str, value: str) -> str:
        known = self._known[tag]
        if value in known:
            return value
        if not self._room[tag]:
            return OTHER
        self._room[tag] -= 1
        known.add(value)
        self._new.append((tag, value))
        return value

    def flush(self) -> None:
        """Remember the values met for the first time."""
        self._rows.database.insert(self._rows.connection, schema.tag_values, self._new)
        self._new = []


def _values_by_tag(requests: Iterable[Mapping[str, str]]) -> dict[str, set[str]]:
    values: dict[str, set[str]] = {}
    for tags in requests:
        for tag, value in tags.items():
            values.setdefault(tag, set()).add(value)
    return values
