"""Reading what the ledger knows: requests, batches, what is outstanding. Lists page by keyset."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from datetime import datetime
from typing import Any, Final
from uuid import UUID

import msgspec
from sqlalchemy import (
    BindParameter,
    Column,
    ColumnElement,
    Connection,
    Select,
    bindparam,
    func,
    literal_column,
    select,
)

from ledger import schema
from ledger.clock import from_micros, to_micros
from ledger.errors import UnknownId
from ledger.ledger import Ledger
from ledger.pricing import PriceBook, PriceKey, Tokens
from ledger.projections import BatchRow, RequestRow, select_requests, stored_book

__all__ = [
    "BilledItem",
    "Outstanding",
    "StoredEvent",
    "active_batches",
    "batch",
    "batches",
    "billed_items",
    "count_requests",
    "find_request",
    "finished_since",
    "outstanding",
    "requests",
    "stored_events",
]

PAGE: Final = 1000
_LEAST_PREFIX: Final = 6
_PREFIX_UPPER: Final = "\U0010ffff"

_BATCH: Final = select(schema.batches).where(
    (schema.batches.c.id == bindparam("wanted")) | (schema.batches.c.provider_batch_id == bindparam("wanted"))
)


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


class StoredEvent(msgspec.Struct, frozen=True, kw_only=True):
    """An event as it stands in the log: `data` is the very text that was hashed, hashes are hex."""

    position: int
    stream_id: str
    version: int
    event_id: UUID
    type: str
    schema_version: int
    occurred_at: datetime
    recorded_at: datetime
    correlation_id: UUID | None
    causation_id: UUID | None
    data: msgspec.Raw
    body_hash: str
    hash: str


def requests(
    ledger: Ledger,
    *,
    key: str | None = None,
    statuses: Sequence[str] | None = None,
    batch_id: str | None = None,
    mode: str | None = None,
    after: int = 0,
    limit: int | None = None,
    newest_first: bool = False,
) -> Iterator[RequestRow]:
    """Requests in the order they were recorded, beyond `after` (a request's `seq`), or the other way round.

    `mode` "batch" leaves out the recorded calls of applications, "standard" everything else.
    """
    query = _chosen(select_requests(), key, statuses, batch_id, mode)
    # In the order of the states, whose partial indexes find the few that are open. Both tables are bounded: Postgres
    # infers no inequality, and would read the other one from its start.
    seqs = (schema.request_states.c.seq, schema.requests.c.seq)
    for row in _paged(ledger, query, seqs, after, limit, newest_first):
        yield RequestRow(*row)


def count_requests(
    ledger: Ledger,
    *,
    key: str | None = None,
    statuses: Sequence[str] | None = None,
    batch_id: str | None = None,
    mode: str | None = None,
) -> int:
    """How many requests the same choice comes to."""
    states = schema.requests.join(schema.request_states, schema.requests.c.seq == schema.request_states.c.seq)
    query = _chosen(select(func.count()).select_from(states), key, statuses, batch_id, mode)
    with ledger.read() as connection:
        return connection.scalar(query) or 0


def _chosen(
    query: Select[*tuple[Any, ...]],
    key: str | None,
    statuses: Sequence[str] | None,
    batch_id: str | None,
    mode: str | None,
) -> Select[*tuple[Any, ...]]:
    state = schema.request_states.c
    if key is not None:
        query = query.where(schema.requests.c.key == key)
    if statuses is not None:
        query = query.where(_among(statuses))
    if batch_id is not None:
        query = query.where(state.batch_id == batch_id)
    if mode is not None:
        query = query.where(schema.requests.c.mode == mode)
    return query


def _among(statuses: Sequence[str]) -> ColumnElement[bool]:
    """Written out, for a database recognises the condition of a partial index only if it reads the values."""
    values: BindParameter[str] = bindparam(
        "statuses", list(statuses), expanding=True, literal_execute=True, unique=True
    )
    return schema.request_states.c.status.in_(values)


def batches(
    ledger: Ledger, *, after: int = 0, limit: int | None = None, newest_first: bool = False
) -> Iterator[BatchRow]:
    """Batches in the order they were planned, beyond `after` (a batch's `seq`), or the other way round."""
    for row in _paged(ledger, select(schema.batches), (schema.batches.c.seq,), after, limit, newest_first):
        yield BatchRow(*row)


def active_batches(ledger: Ledger) -> list[BatchRow]:
    """Batches with a next step, in the order in which it is due."""
    column = schema.batches.c
    query = select(schema.batches).where(column.due_at.is_not(None)).order_by(column.due_at)
    with ledger.read() as connection:
        return [BatchRow(*row) for row in connection.execute(query)]


def stored_events(
    ledger: Ledger,
    *,
    stream: str | None = None,
    after: int = 0,
    limit: int | None = None,
    newest_first: bool = False,
) -> Iterator[StoredEvent]:
    """Events in log order beyond a position, or the other way round; their data as it was written."""
    table = schema.events
    query = select(table) if stream is None else select(table).where(table.c.stream_id == stream)
    for row in _paged(ledger, query, (table.c.position,), after, limit, newest_first):
        yield StoredEvent(
            position=row.position,
            stream_id=row.stream_id,
            version=row.version,
            event_id=UUID(bytes=row.event_id),
            type=row.type,
            schema_version=row.schema_version,
            occurred_at=from_micros(row.occurred_at),
            recorded_at=from_micros(row.recorded_at),
            correlation_id=UUID(bytes=row.correlation_id) if row.correlation_id else None,
            causation_id=UUID(bytes=row.causation_id) if row.causation_id else None,
            data=msgspec.Raw(row.data.encode()),
            body_hash=row.body_hash.hex(),
            hash=row.hash.hex(),
        )


def _paged(
    ledger: Ledger,
    query: Select[*tuple[Any, ...]],
    seqs: Sequence[Column[int]],
    after: int,
    limit: int | None,
    newest_first: bool,
) -> Iterator[Any]:
    """Rows in the order of the first of `seqs`; every one of them is the same number."""
    place = list(query.selected_columns.keys()).index(seqs[0].key)
    query = query.where(*(seq > after for seq in seqs)).order_by(seqs[0].desc() if newest_first else seqs[0])
    page = query
    left = limit
    while left is None or left > 0:
        size = PAGE if left is None else min(PAGE, left)
        # Written out: SQLite plans a statement anew for every bound limit.
        with ledger.read() as connection:
            rows = connection.execute(page.limit(literal_column(str(size)))).all()
        yield from rows
        if len(rows) < size:
            return
        last = rows[-1][place]
        page = query.where(*(seq < last if newest_first else seq > last for seq in seqs))
        left = None if left is None else left - len(rows)


def batch(ledger: Ledger, wanted: str) -> BatchRow:
    """The batch with that id, ours or the provider's, or a unique beginning of ours. Raises `UnknownId`."""
    with ledger.read() as connection:
        row = connection.execute(_BATCH, {"wanted": wanted}).first()
        if row is None:
            row = _by_prefix(connection, select(schema.batches), schema.batches.c.id, wanted, "batches")
    return BatchRow(*row)


def find_request(ledger: Ledger, wanted: str, *, key: str | None = None) -> RequestRow:
    """The request with that id, a unique beginning of it, or that custom_id. Raises `UnknownId`."""
    column = schema.requests.c
    query = select_requests()
    with ledger.read() as connection:
        row = connection.execute(query.where(column.id == wanted)).first()
        if row is None:
            named = query.where(column.custom_id == wanted)
            named = named.where(column.key == key) if key is not None else named
            found = connection.execute(named.limit(2)).all()
            if len(found) > 1:
                reason = "several keys hold a request of that custom_id; name one with --key"
                raise UnknownId(wanted, reason, several=True)
            row = found[0] if found else _by_prefix(connection, query, column.id, wanted, "requests")
    return RequestRow(*row)


def _by_prefix(connection: Connection, query: Select[*tuple[Any, ...]], column: Any, wanted: str, what: str) -> Any:
    found = []
    if len(wanted) >= _LEAST_PREFIX:
        within = query.where(column >= wanted, column < wanted + _PREFIX_UPPER)
        found = list(connection.execute(within.limit(2)))
    if not found and len(wanted) < _LEAST_PREFIX:
        raise UnknownId(
            wanted, f"nothing in this ledger has that id; give at least {_LEAST_PREFIX} characters of one"
        )
    if not found:
        raise UnknownId(wanted)
    if len(found) > 1:
        raise UnknownId(wanted, f"several {what} begin like that; give more of the id", several=True)
    return found[0]


def billed_items(ledger: Ledger, request_ids: Sequence[str]) -> dict[str, list[BilledItem]]:
    """What was billed for each of these requests (at most a page of them), in the order it was recorded."""
    request, state = schema.requests.c, schema.request_states.c
    query = (
        select(request.id, state.usage)
        .join_from(schema.requests, schema.request_states, request.seq == state.seq)
        .where(request.id.in_(request_ids), state.usage != "[]")
    )
    with ledger.read() as connection:
        keys = {key_id: PriceKey(*fields) for key_id, *fields in connection.execute(select(schema.price_keys)).all()}
        books = {name: stored_book(connection, name) for name in {key.provider for key in keys.values()}}
        stored = connection.execute(query).all()
    return {
        request_id: [_billed(item, keys, books) for item in msgspec.json.decode(usage)]
        for request_id, usage in stored
    }


def _billed(item: Sequence[Any], keys: Mapping[int, PriceKey], books: Mapping[str, PriceBook | None]) -> BilledItem:
    role, key_id, micros, *tokens = item
    key, billed_at = keys[key_id], from_micros(micros)
    book = books[key.provider]
    epoch = book.epoch(key, billed_at) if book is not None else None
    return BilledItem(role, key, epoch, Tokens(*tokens), billed_at, book)


def outstanding(ledger: Ledger) -> Outstanding:
    """How much is left to do, for every process that works on this ledger."""
    state, batch_ = schema.request_states, schema.batches
    # Each condition is that of a partial index, so that only what is counted is read.
    open_states = (
        state.c.status == "queued",
        state.c.status == "batched",
        _among(("failed", "expired")),
        _among(("fallback", "calling")),
    )
    with ledger.read() as connection:
        waiting = [
            connection.scalar(select(func.count()).select_from(state).where(condition)) or 0
            for condition in open_states
        ]
        active = connection.scalar(select(func.count()).select_from(batch_).where(batch_.c.due_at.is_not(None)))
    return Outstanding(sum(waiting), active or 0)


def finished_since(ledger: Ledger, instant: datetime) -> dict[str, int]:
    """How many requests have ended at that instant or later, by final status."""
    request = schema.request_states.c
    query = select(request.status, func.count()).where(request.finished_at >= to_micros(instant))
    with ledger.read() as connection:
        return {str(status): count for status, count in connection.execute(query.group_by(request.status))}
