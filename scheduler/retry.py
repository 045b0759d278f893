"""Step: attempts that failed for a passing reason get another one, or are given up. Decided once per outcome.

A request whose attempts in batches are exhausted may get a standard call as its last resort, if the policy says so.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from itertools import islice
from typing import Final

from sqlalchemy import select

from ledger import NewEvent, schema
from ledger.codec import decode_data
from ledger.errors import VersionConflict
from ledger.events import RequestAbandoned, RequestFailed, RequestRetryScheduled, request_stream
from ledger.projections import RequestRow
from ledger.queries import requests
from scheduler.context import Context, request_event
from scheduler.policy import Policy, attempts_left, retry_delay

__all__ = ["CAPACITY_ERRORS", "retry"]

CAPACITY_ERRORS: Final = frozenset({"overloaded_error", "rate_limit_error"})
"""Errors of an item that say nothing about it, only that the provider had no room for it at that time."""

_PAGE = 1000


def retry(context: Context) -> int:
    """Decide about every failed or expired attempt. Returns how many requests go on."""
    policy = context.policy()
    scheduled = 0
    undecided = requests(context.ledger, statuses=("failed", "expired"))
    if context.keys is not None:
        keys = frozenset(context.keys())
        undecided = (row for row in undecided if row.key in keys)
    while rows := list(islice(undecided, _PAGE)):
        refusals = _refusals(context, [row for row in rows if not attempts_left(row.attempts, policy)])
        events = [_decision(context, row, policy, refusals[row.id]) for row in rows]
        try:
            context.ledger.append(events)
        except VersionConflict:
            continue  # another worker decides about the same page
        scheduled += sum(isinstance(event.data, RequestRetryScheduled) for event in events)
    return scheduled


def _decision(context: Context, row: RequestRow, policy: Policy, refusals: int) -> NewEvent:
    reason = f"{row.error_type}: {row.error_message}"
    if attempts_left(row.attempts, policy, refusals):
        delay = retry_delay(row.attempts, policy, context.random())
        data = RequestRetryScheduled(attempt=row.attempts + 1, due_at=context.after(delay), reason=reason)
        return request_event(context, row, data)
    if policy.fallback_to_standard:
        call = RequestRetryScheduled(
            attempt=row.attempts + 1, due_at=context.now(), reason=reason, processing="standard"
        )
        return request_event(context, row, call)
    return request_event(context, row, RequestAbandoned(reason=reason, attempts=row.attempts))


def _refusals(context: Context, rows: Sequence[RequestRow]) -> Counter[str]:
    """How many of their attempts ended for lack of capacity; of those since somebody opened them anew by hand."""
    ids = {request_stream(row.id): row.id for row in rows}
    event = schema.events.c
    telling = (RequestFailed.TYPE, RequestRetryScheduled.TYPE)
    query = (
        select(event.stream_id, event.type, event.schema_version, event.data)
        .where(event.stream_id.in_(ids), event.type.in_(telling))
        .order_by(event.stream_id, event.version)
    )
    refused: Counter[str] = Counter()
    if not ids:
        return refused
    with context.ledger.read() as connection:
        for stream, *stored in connection.execute(query):
            match decode_data(*stored):
                case RequestFailed(error_type=kind) if kind in CAPACITY_ERRORS:
                    refused[ids[stream]] += 1
                case RequestRetryScheduled(by_hand=True):
                    del refused[ids[stream]]
    return refused
