"""Open requests again that ended without an answer. What may have been paid for is sent again only on purpose."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from uuid import UUID

import msgspec
from sqlalchemy import select

from ledger import Ledger, NewEvent, schema
from ledger.clock import to_micros
from ledger.events import Processing, RequestCostUnknown, RequestRetryScheduled, request_stream
from ledger.projections import RequestRow
from ledger.queries import find_request
from scheduler.by_hand.refusals import BY_HAND, MayBePaid, NotPossible, decided_twice

__all__ = ["held", "perhaps_paid", "retry_request", "retry_requests"]


def retry_request(ledger: Ledger, row: RequestRow, now: datetime, *, paid_twice: bool = False) -> RequestRow:
    """Put a request that ended without an answer back into the queue; one that waits for its retry is due now.

    Its attempts are counted anew. Returns it as it then stands. Raises `NotPossible`; and `MayBePaid` where nobody
    knows whether it was answered, unless paying twice is accepted.
    """
    return retry_requests(ledger, [row], now, paid_twice=paid_twice)[0]


def retry_requests(
    ledger: Ledger, rows: Sequence[RequestRow], now: datetime, *, paid_twice: bool = False
) -> list[RequestRow]:
    """The same for some thousand requests, in one append: all of them, or none."""

    def act(rows: list[RequestRow]) -> None:
        events = [_reopened(ledger, row, now) for row in rows]
        _check_bodies(ledger, rows)
        if not paid_twice and (unclear := perhaps_paid(ledger, rows)):
            raise MayBePaid(unclear)
        ledger.append(events)

    def read(rows: list[RequestRow]) -> list[RequestRow]:
        return [find_request(ledger, row.id) for row in rows]

    return decided_twice(act, list(rows), read)


def perhaps_paid(ledger: Ledger, rows: Sequence[RequestRow]) -> list[str]:
    """Ids of those whose cost is unknown: they may have been answered."""
    event, ids = schema.events.c, {request_stream(row.id): row.id for row in rows}
    query = select(event.stream_id).distinct()
    query = query.where(event.stream_id.in_(list(ids)), event.type == RequestCostUnknown.TYPE)
    with ledger.read() as connection:
        found = set(connection.scalars(query))
    return [request_id for stream, request_id in ids.items() if stream in found]


def held(ledger: Ledger, rows: Sequence[RequestRow]) -> list[RequestRow]:
    """Those whose params are still in the ledger, so that they can be sent again."""
    digest = schema.payloads.c.hash
    with ledger.read() as connection:
        found = set(
            connection.scalars(select(digest).where(digest.in_([row.payload for row in rows if row.payload])))
        )
    return [row for row in rows if row.payload in found]


def _check_bodies(ledger: Ledger, rows: Sequence[RequestRow]) -> None:
    there = {row.id for row in held(ledger, rows)}
    for row in rows:
        if row.id not in there:
            raise NotPossible(
                row, f"cannot be sent again: its params (body {row.payload.hex()[:16]}…) were purged; submit it anew"
            )


def _reopened(ledger: Ledger, row: RequestRow, now: datetime) -> NewEvent:
    data = RequestRetryScheduled(attempt=1, due_at=now, reason=BY_HAND, by_hand=True)
    if row.status in ("queued", "fallback") and row.due_at is not None and row.due_at > to_micros(now):
        processing: Processing = "batch" if row.status == "queued" else "standard"
        data = msgspec.structs.replace(data, attempt=row.attempts + 1, processing=processing)
    elif (reason := _unretryable(row)) is not None:
        raise NotPossible(row, reason)
    return NewEvent(request_stream(row.id), row.version + 1, data, ledger.ids.new(), now, UUID(row.id))


def _unretryable(row: RequestRow) -> str | None:
    if row.mode != "batch":
        return "is a standard call of an application, which only that can repeat"
    match row.status:
        case "abandoned" | "errored" | "canceled" | "failed" | "expired":
            return None
        case "queued" | "fallback":
            return "is in the queue already; `llm-ledger run` sends it"
        case "batched":
            return f"is under way already, in batch {row.batch_id}"
        case "succeeded":
            return "has succeeded already"
        case _:
            return "is being answered by a standard call at this moment; wait for its end"
