"""Fold: what was used, per billed item and by quarter hour, price row and tag. Integers only; money comes later."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

import msgspec

from ledger import schema
from ledger.clock import to_micros
from ledger.errors import UsageUnreadable
from ledger.events import CacheUsageRecorded
from ledger.pricing import Tokens, normalise_json
from ledger.projections.buckets import TagLimiter
from ledger.projections.cache_reads import CacheReads
from ledger.projections.deltas import Deltas
from ledger.projections.lanes import Lanes
from ledger.projections.outcomes import OutcomeRollup
from ledger.projections.prices import PriceKeys
from ledger.projections.rows import Fact, RequestRow
from ledger.projections.working_set import WorkingSet

__all__ = ["UsageFold"]

_LANES: Final = Lanes(12)
"""requests, partial, marked, hits, the six counts of `Tokens`, unread writes of 5 minutes and of an hour."""

_NO_TOKENS: Final = (0,) * 10


class UsageFold:
    """`cache_usage.recorded` → the `usage` of its request, counts in `usage_rollups`."""

    def __init__(self, rows: WorkingSet, tags: TagLimiter, prices: PriceKeys, outcomes: OutcomeRollup) -> None:
        self._rows = rows
        self._tags = tags
        self._prices = prices
        self._outcomes = outcomes
        self._cache = CacheReads(rows)
        self._deltas = Deltas(tags, _LANES)

    def recorded(self, fact: Fact, data: CacheUsageRecorded) -> None:
        row = self._rows.requests[fact.entity]
        row.version = fact.version
        if data.role == "duplicate":
            self._rows.settle(data.batch_id)
        billed_at = to_micros(data.billed_at)
        try:
            entries = normalise_json(
                provider=data.provider, model=data.model, processing=data.processing, usage=bytes(data.usage)
            )
        except UsageUnreadable:
            self._outcomes.add(row, "cost_unknown", billed_at)
            return
        items = []
        models: set[str] = set()
        for entry in entries:
            key, epoch = self._prices.place(entry.key, data.billed_at, billed_at)
            tokens = msgspec.structs.astuple(entry.tokens)
            items.append((data.role, key, billed_at, *tokens))
            if not models:
                self._cache.note(row, entry.tokens, key, billed_at, data.role)
                heads = _heads(row, entry.tokens, data.role)
            else:
                heads = (0, int(entry.key.model not in models and data.role == "result"), 0, 0)
            models.add(entry.key.model)
            self._deltas.count(row.tags, billed_at, (key, epoch, data.role), _LANES.pack((*heads, *tokens)))
        row.usage = _extended(row.usage, items)

    def _count_unread(self) -> None:
        changes = self._cache.flush()
        self._tags.recall(change.request.tags for change in changes)
        epochs = self._prices.epochs({(change.price_key, change.billed_at) for change in changes})
        for change in changes:
            epoch = epochs[change.price_key, change.billed_at]
            counts = _LANES.pack((*_NO_TOKENS, change.write_5m, change.write_1h))
            place = (change.price_key, epoch, "result")
            self._deltas.count(change.request.tags, change.billed_at, place, counts)

    def flush(self) -> None:
        self._count_unread()
        self._rows.database.add(self._rows.connection, schema.usage_rollups, self._deltas.take())


def _extended(usage: str, items: Sequence[tuple[object, ...]]) -> str:
    known = [] if usage == "[]" else msgspec.json.decode(usage)
    return msgspec.json.encode([*known, *items]).decode()


def _heads(row: RequestRow, tokens: Tokens, role: str) -> tuple[int, int, int, int]:
    """requests, partial, marked, hits: a request counts once, under its response's model.

    `partial` counts it again under every further model that served a part of it: whether that part has a price
    can change with the book, so it is asked when the rows are read.
    """
    if role != "result":
        return (0, 0, 0, 0)
    return (1, 0, int(row.markers > 0), int(tokens.read > 0 and row.markers > 0))
