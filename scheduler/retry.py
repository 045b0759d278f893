"""Step: attempts that failed for a passing reason get another one, or are given up. Decided once per outcome."""

from __future__ import annotations

from itertools import islice

from ledger import NewEvent
from ledger.errors import VersionConflict
from ledger.events import RequestAbandoned, RequestRetryScheduled
from ledger.projections import RequestRow
from ledger.queries import requests
from scheduler.context import Context, request_event
from scheduler.policy import Policy, attempts_left, retry_delay

__all__ = ["retry"]

_PAGE = 1000


def retry(context: Context) -> int:
    """Decide about every failed or expired attempt. Returns how many requests go back into the queue."""
    policy = context.policy()
    scheduled = 0
    undecided = requests(context.ledger, statuses=("failed", "expired"))
    while rows := list(islice(undecided, _PAGE)):
        events = [_decision(context, row, policy) for row in rows]
        try:
            context.ledger.append(events)
        except VersionConflict:
            continue  # another worker decides about the same page
        scheduled += sum(isinstance(event.data, RequestRetryScheduled) for event in events)
    return scheduled


def _decision(context: Context, row: RequestRow, policy: Policy) -> NewEvent:
    reason = f"{row.error_type}: {row.error_message}"
    if attempts_left(row.attempts, policy):
        delay = retry_delay(row.attempts, policy, context.random())
        data = RequestRetryScheduled(attempt=row.attempts + 1, due_at=context.after(delay), reason=reason)
        return request_event(context, row, data)
    return request_event(context, row, RequestAbandoned(reason=reason, attempts=row.attempts))
