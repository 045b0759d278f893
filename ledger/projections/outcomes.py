"""Fold: how many requests ended how, by quarter hour, model and tag."""

from __future__ import annotations

from collections import defaultdict
from operator import add
from typing import Final

from ledger import schema
from ledger.projections.buckets import TagLimiter, bucket, coarser
from ledger.projections.rows import RequestRow
from ledger.projections.working_set import WorkingSet

__all__ = ["OutcomeRollup"]

_COLUMN: Final = {"succeeded": 0, "errored": 1, "abandoned": 1, "canceled": 2, "cost_unknown": 3}


class OutcomeRollup:
    """Terminal outcomes → counts in `outcome_rollups`: succeeded, failed, canceled, cost_unknown."""

    def __init__(self, rows: WorkingSet, tags: TagLimiter) -> None:
        self._rows = rows
        self._tags = tags
        self._deltas: defaultdict[tuple[str, int, str, str], list[int]] = defaultdict(lambda: [0] * 4)

    def add(self, row: RequestRow, outcome: str, at: int) -> None:
        """One request ended so at that instant (microseconds). It counts under its response's model."""
        # Tag values are admitted in the order of the log, whatever the chunks; spread out they are at the flush.
        self._tags.scopes(row.tags)
        key = (row.tags, bucket(at), row.provider, row.response_model or row.model)
        self._deltas[key][_COLUMN[outcome]] += 1

    def flush(self) -> None:
        """Write the counts, for every tag and grain."""
        sums: defaultdict[tuple[str, int, int, str, str, str], list[int]] = defaultdict(lambda: [0] * 4)
        for (tags, start, provider, model), counts in self._deltas.items():
            for tag, value in self._tags.scopes(tags):
                for grain, begins in coarser(start):
                    total = sums[tag, grain, begins, value, provider, model]
                    total[:] = map(add, total, counts)
        rows = [(*key, *counts) for key, counts in sums.items()]
        self._rows.database.add(self._rows.connection, schema.outcome_rollups, rows)
        self._deltas.clear()
