"""What the log amounts to: tables derived from the events, inline and rebuildable."""

from __future__ import annotations

from ledger.projections.buckets import DAY, HOUR, OTHER, QUARTER, TOTAL, bucket
from ledger.projections.fold import PROJECTIONS, Folds, check_versions, fold, portions, position, register
from ledger.projections.prices import UNPRICED, stored_book
from ledger.projections.rows import TERMINAL, BatchRow, Fact, RequestRow
from ledger.projections.working_set import select_requests

__all__ = [
    "DAY",
    "HOUR",
    "OTHER",
    "PROJECTIONS",
    "QUARTER",
    "TERMINAL",
    "TOTAL",
    "UNPRICED",
    "BatchRow",
    "Fact",
    "Folds",
    "RequestRow",
    "bucket",
    "check_versions",
    "fold",
    "portions",
    "position",
    "register",
    "select_requests",
    "stored_book",
]
