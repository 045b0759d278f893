"""What the log amounts to: tables derived from the events, inline and rebuildable."""

from __future__ import annotations

from ledger.projections.buckets import DAY, HOUR, OTHER, QUARTER, TOTAL, bucket
from ledger.projections.fold import PROJECTIONS, fold, position, register
from ledger.projections.prices import price_row_id, stored_book
from ledger.projections.rows import TERMINAL, BatchRow, Fact, RequestRow

__all__ = [
    "DAY",
    "HOUR",
    "OTHER",
    "PROJECTIONS",
    "QUARTER",
    "TERMINAL",
    "TOTAL",
    "BatchRow",
    "Fact",
    "RequestRow",
    "bucket",
    "fold",
    "position",
    "price_row_id",
    "register",
    "stored_book",
]
