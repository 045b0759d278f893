"""Counts on their way into a rollup: gathered per quarter hour, then spread over tags and coarser grains."""

from __future__ import annotations

from collections import defaultdict
from operator import add
from typing import Any

from ledger.projections.buckets import TagLimiter, bucket, coarser

__all__ = ["Deltas"]

Sums = defaultdict[tuple[Any, ...], list[int]]


class Deltas:
    """The changes of one chunk to a rollup table whose key begins with tag, grain, bucket, value."""

    def __init__(self, tags: TagLimiter, measures: int) -> None:
        self._tags = tags
        self._measures = measures
        self._gathered = self._sums()

    def _sums(self) -> Sums:
        return defaultdict(lambda: [0] * self._measures)

    def count(self, tags: str, at: int, rest: tuple[Any, ...], measures: tuple[int, ...]) -> None:
        """Add the measures to what a request with these tags (JSON) counts under at that instant (microseconds).

        `rest` is the rest of the key. Tag values are admitted here, in the order of the log, whatever the chunks.
        """
        self._tags.scopes(tags)
        total = self._gathered[tags, bucket(at), rest]
        total[:] = map(add, total, measures)

    def take(self) -> list[tuple[Any, ...]]:
        """The rows to add to the table, in the order of its key; nothing is left after that."""
        by_scope = self._sums()
        for (tags, start, rest), measures in self._gathered.items():
            for tag, value in self._tags.scopes(tags):
                total = by_scope[tag, value, start, rest]
                total[:] = map(add, total, measures)
        rows = self._sums()
        for (tag, value, start, rest), measures in by_scope.items():
            for grain, begins in coarser(start):
                total = rows[tag, grain, begins, value, *rest]
                total[:] = map(add, total, measures)
        self._gathered.clear()
        return [(*key, *measures) for key, measures in sorted(rows.items())]
