"""Counts on their way into a rollup: gathered per quarter hour, then spread over tags and coarser grains."""

from __future__ import annotations

from typing import Any

from ledger.projections.buckets import TagLimiter, bucket, coarser
from ledger.projections.lanes import Lanes

__all__ = ["Deltas"]

Sums = dict[tuple[Any, ...], int]


class Deltas:
    """The changes of one chunk to a rollup table whose key begins with tag, grain, bucket, value."""

    def __init__(self, tags: TagLimiter, lanes: Lanes) -> None:
        self._tags = tags
        self._lanes = lanes
        self._gathered: Sums = {}

    def count(self, tags: str, at: int, rest: tuple[Any, ...], counts: int) -> None:
        """Add the counts to what a request with these tags (JSON) counts under at that instant (microseconds).

        `rest` is the rest of the key. Tag values are admitted here, in the order of the log, whatever the chunks.
        """
        self._tags.scopes(tags)
        key = (tags, bucket(at), rest)
        self._gathered[key] = self._gathered.get(key, 0) + counts

    def take(self) -> list[tuple[Any, ...]]:
        """The rows to add to the table, in the order of its key; nothing is left after that."""
        by_scope: Sums = {}
        for (tags, start, rest), counts in self._gathered.items():
            for scope in self._tags.scopes(tags):
                key = (scope, start, rest)
                by_scope[key] = by_scope.get(key, 0) + counts
        rows: Sums = {}
        for ((tag, value), start, rest), counts in by_scope.items():
            for grain, begins in coarser(start):
                key = (tag, grain, begins, value, *rest)
                rows[key] = rows.get(key, 0) + counts
        self._gathered.clear()
        return [(*key, *self._lanes.unpack(counts)) for key, counts in sorted(rows.items())]
