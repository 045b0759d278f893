"""Fold: what was used, per billed item and by quarter hour, price row and tag. Integers only; money comes later."""

from __future__ import annotations

from collections import defaultdict
from typing import Final

import msgspec

from ledger import schema
from ledger.clock import to_micros
from ledger.errors import UsageUnreadable
from ledger.events import CacheUsageRecorded
from ledger.pricing import Tokens, normalise
from ledger.projections.buckets import TagLimiter, bucket, coarser
from ledger.projections.cache_reads import CacheReads, UnreadChange
from ledger.projections.outcomes import OutcomeRollup
from ledger.projections.prices import PriceRows
from ledger.projections.rows import Fact, RequestRow
from ledger.projections.working_set import WorkingSet

__all__ = ["UsageFold"]

_MEASURES: Final = 12
_UNREAD: Final = slice(10, 12)

Measures = tuple[int, ...]
RollupKey = tuple[str, str, int, int, str]


class UsageFold:
    """`cache_usage.recorded` → rows of `usage_items`, counts in `usage_rollups`."""

    def __init__(self, rows: WorkingSet, tags: TagLimiter, prices: PriceRows, outcomes: OutcomeRollup) -> None:
        self._rows = rows
        self._tags = tags
        self._prices = prices
        self._outcomes = outcomes
        self._cache = CacheReads(rows)
        self._items: list[tuple[object, ...]] = []
        self._deltas: defaultdict[RollupKey, list[int]] = defaultdict(lambda: [0] * _MEASURES)

    def recorded(self, fact: Fact, data: CacheUsageRecorded) -> None:
        row = self._rows.requests[fact.entity]
        row.version = fact.version
        if data.role == "duplicate":
            self._rows.settle(data.batch_id, data.batch_index, row, "duplicate")
        billed_at = to_micros(data.billed_at)
        try:
            entries = normalise(
                provider=data.provider,
                model=data.model,
                processing=data.processing,
                usage=msgspec.json.decode(data.usage),
            )
        except (UsageUnreadable, msgspec.DecodeError):
            self._outcomes.add(row, "cost_unknown", billed_at)
            return
        models: set[str] = set()
        for entry in entries:
            price_row = self._prices.row(entry.key, data.billed_at)
            tokens = msgspec.structs.astuple(entry.tokens)
            self._items.append((row.seq, row.items, data.role, price_row, billed_at, *tokens))
            row.items += 1
            if not models:
                self._cache.note(row, entry.tokens, price_row, billed_at, data.role)
                heads = _heads(row, entry.tokens, data.role)
            else:
                heads = (0, int(entry.key.model not in models and data.role == "result"), 0, 0)
            models.add(entry.key.model)
            self._count(row, price_row, billed_at, data.role, (*heads, *tokens, 0, 0))

    def _count(self, row: RequestRow, price_row: int, at: int, role: str, measures: Measures) -> None:
        start = bucket(at)
        for tag, value in self._tags.scopes(row):
            delta = self._deltas[tag, value, start, price_row, role]
            for column, count in enumerate(measures):
                delta[column] += count

    def _unread(self, change: UnreadChange) -> None:
        measures = (*(0,) * _UNREAD.start, change.write_5m, change.write_1h)
        self._count(change.request, change.price_row, change.billed_at, "result", measures)

    def flush(self) -> None:
        for change in self._cache.flush():
            self._unread(change)
        database, connection = self._rows.database, self._rows.connection
        database.insert(connection, schema.usage_items, self._items)
        sums: defaultdict[tuple[str, int, int, str, int, str], list[int]] = defaultdict(lambda: [0] * _MEASURES)
        for (tag, value, start, price_row, role), counts in self._deltas.items():
            for grain, begins in coarser(start):
                total = sums[tag, grain, begins, value, price_row, role]
                for column, count in enumerate(counts):
                    total[column] += count
        database.add(connection, schema.usage_rollups, [(*key, *counts) for key, counts in sums.items()])
        self._items = []
        self._deltas.clear()


def _heads(row: RequestRow, tokens: Tokens, role: str) -> tuple[int, int, int, int]:
    """requests, partial, marked, hits: a request counts once, under its response's model.

    `partial` counts it again under every further model that served a part of it: whether that part has a price
    can change with the book, so it is asked when the rows are read.
    """
    if role != "result":
        return (0, 0, 0, 0)
    return (1, 0, int(row.markers > 0), int(tokens.read > 0 and row.markers > 0))
