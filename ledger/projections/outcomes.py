"""Fold: how many requests ended how, by quarter hour, model and tag."""

from __future__ import annotations

from typing import Final

from ledger import schema
from ledger.projections.buckets import TagLimiter
from ledger.projections.deltas import Deltas
from ledger.projections.lanes import Lanes
from ledger.projections.rows import RequestRow
from ledger.projections.working_set import WorkingSet

__all__ = ["OutcomeRollup"]

_LANES: Final = Lanes(4)
_SUCCEEDED, _FAILED, _CANCELED, _UNKNOWN = map(_LANES.pack, ((1, 0, 0, 0), (0, 1, 0, 0), (0, 0, 1, 0), (0, 0, 0, 1)))
_COUNTS: Final = {
    "succeeded": _SUCCEEDED,
    "errored": _FAILED,
    "abandoned": _FAILED,
    "canceled": _CANCELED,
    "cost_unknown": _UNKNOWN,
}


class OutcomeRollup:
    """Terminal outcomes → counts in `outcome_rollups`: succeeded, failed, canceled, cost_unknown."""

    def __init__(self, rows: WorkingSet, tags: TagLimiter) -> None:
        self._rows = rows
        self._deltas = Deltas(tags, _LANES)

    def add(self, row: RequestRow, outcome: str, at: int) -> None:
        """One request ended so at that instant (microseconds). It counts under its response's model."""
        self._deltas.count(row.tags, at, (row.provider, row.response_model or row.model), _COUNTS[outcome])

    def take_back(self, row: RequestRow, outcome: str, at: int) -> None:
        """An outcome that was counted so has been opened again."""
        place = (row.provider, row.response_model or row.model)
        self._deltas.count(row.tags, at, place, -_COUNTS[outcome])

    def flush(self) -> None:
        """Write the counts, for every tag and grain."""
        self._rows.database.add(self._rows.connection, schema.outcome_rollups, self._deltas.take())
