"""Reading what the ledger knows: requests, batches, what is outstanding. Lists page by keyset."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any, Final

import msgspec
from sqlalchemy import Connection, Select, func, select

from ledger import schema
from ledger.clock import from_micros
from ledger.errors import UnknownId
from ledger.ledger import Ledger
from ledger.pricing import PriceBook, PriceKey, Tokens
from ledger.projections import TERMINAL, BatchRow, RequestRow, stored_book

__all__ = [
    "BilledItem",
    "Outstanding",
    "batch",
    "batches",
    "billed_items",
    "find_request",
    "outstanding",
    "requests",
]

PAGE: Final = 1000
_PREFIX_UPPER: Final = "\U0010ffff"


class BilledItem(msgspec.Struct, frozen=True):
    """One thing that was billed for a request: tokens under a key, and the book to price them by.

    `epoch` is the start of the price row in force (None: unpriced). `role` is result or duplicate.
    """

    role: str
    key: PriceKey
    epoch: Any
    tokens: Tokens
    billed_at: Any
    book: PriceBook | None


class Outstanding(msgspec.Struct, frozen=True):
    """What is left to do: requests without an outcome by status, batches with a next step."""

    requests: int
    batches: int

    @property
    def idle(self) -> bool:
        """True if nothing is left."""
        return not self.requests and not self.batches


def requests(
    ledger: Ledger,
    *,
    key: str | None = None,
    statuses: Sequence[str] | None = None,
    batch_id: str | None = None,
    after: int = 0,
    limit: int | None = None,
) -> Iterator[RequestRow]:
    """Requests in the order they were recorded, beyond `after` (a request's `seq`)."""
    table = schema.requests
    query = select(table)
    if key is not None:
        query = query.where(table.c.key == key)
    if statuses is not None:
        query = query.where(table.c.status.in_(statuses))
    if batch_id is not None:
        item = schema.batch_items.c
        members = select(item.request).where(item.batch_id == batch_id)
        query = query.where(table.c.seq.in_(members))
    for row in _paged(ledger, query, table.c.seq, after, limit):
        yield RequestRow(*row)


def batches(ledger: Ledger, *, after: int = 0, limit: int | None = None) -> Iterator[BatchRow]:
    """Batches in the order they were planned, beyond `after` (a batch's `seq`)."""
    for row in _paged(ledger, select(schema.batches), schema.batches.c.seq, after, limit):
        yield BatchRow(*row)


def _paged(ledger: Ledger, query: Select[*tuple[Any, ...]], seq: Any, after: int, limit: int | None) -> Iterator[Any]:
    place = list(query.selected_columns.keys()).index("seq")
    left = limit
    while left is None or left > 0:
        size = PAGE if left is None else min(PAGE, left)
        with ledger.read() as connection:
            rows = connection.execute(query.where(seq > after).order_by(seq).limit(size)).all()
        yield from rows
        if len(rows) < size:
            return
        after = rows[-1][place]
        left = None if left is None else left - len(rows)


def batch(ledger: Ledger, wanted: str) -> BatchRow:
    """The batch with that id, ours or the provider's, or a unique beginning of ours. Raises `UnknownId`."""
    column = schema.batches.c
    query = select(schema.batches)
    with ledger.read() as connection:
        row = connection.execute(query.where((column.id == wanted) | (column.provider_batch_id == wanted))).first()
        if row is None:
            row = _by_prefix(connection, query, column.id, wanted, "batches")
    return BatchRow(*row)


def find_request(ledger: Ledger, wanted: str, *, key: str | None = None) -> RequestRow:
    """The request with that id, a unique beginning of it, or that custom_id. Raises `UnknownId`."""
    column = schema.requests.c
    query = select(schema.requests)
    with ledger.read() as connection:
        row = connection.execute(query.where(column.id == wanted)).first()
        if row is None:
            named = query.where(column.custom_id == wanted)
            named = named.where(column.key == key) if key is not None else named
            found = connection.execute(named.limit(2)).all()
            if len(found) > 1:
                raise UnknownId(wanted, "several keys hold a request of that custom_id; name one with --key")
            row = found[0] if found else _by_prefix(connection, query, column.id, wanted, "requests")
    return RequestRow(*row)


def _by_prefix(connection: Connection, query: Select[*tuple[Any, ...]], column: Any, wanted: str, what: str) -> Any:
    found = []
    if len(wanted) >= 6:
        within = query.where(column >= wanted, column < wanted + _PREFIX_UPPER)
        found = list(connection.execute(within.limit(2)))
    if not found:
        raise UnknownId(wanted)
    if len(found) > 1:
        raise UnknownId(wanted, f"several {what} begin like that; give more of the id")
    return found[0]


def billed_items(ledger: Ledger, request_ids: Sequence[str]) -> dict[str, list[BilledItem]]:
    """What was billed for each of these requests (at most a page of them), in the order it was recorded."""
    item, price, request = schema.usage_items.c, schema.price_rows.c, schema.requests.c
    query = (
        select(request.id, *item, *price)
        .join_from(schema.requests, schema.usage_items, item.request == request.seq)
        .join(schema.price_rows, item.price_row == price.id)
        .where(request.id.in_(request_ids))
        .order_by(item.request, item.item)
    )
    found: dict[str, list[BilledItem]] = {}
    with ledger.read() as connection:
        books: dict[str, PriceBook | None] = {}
        for row in connection.execute(query):
            request_id, _seq, _number, role, _row, billed_at, *tokens = row[:12]
            _id, *key, epoch = row[12:]
            provider = key[0]
            if provider not in books:
                books[provider] = stored_book(connection, provider)
            found.setdefault(request_id, []).append(
                BilledItem(
                    role,
                    PriceKey(*key),
                    from_micros(epoch) if epoch is not None else None,
                    Tokens(*tokens),
                    from_micros(billed_at),
                    books[provider],
                )
            )
    return found


def outstanding(ledger: Ledger) -> Outstanding:
    """How much is left to do, for every process that works on this ledger."""
    request, batch_ = schema.requests.c, schema.batches.c
    waiting = ("queued", "batched", "failed", "expired")
    with ledger.read() as connection:
        counts = [
            connection.scalar(select(func.count()).select_from(schema.requests).where(request.status == status)) or 0
            for status in waiting
        ]
        active = connection.scalar(select(func.count()).select_from(schema.batches).where(batch_.due_at.is_not(None)))
    assert not TERMINAL & set(waiting)
    return Outstanding(sum(counts), active or 0)
