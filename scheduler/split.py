"""Step: a batch that the provider refuses as a whole is halved until the culprits stand alone."""

from __future__ import annotations

from ledger.events import BatchFailed, RequestAbandoned
from ledger.projections import BatchRow
from ledger.queries import requests
from scheduler.accumulator import Candidate, Headers, plan_events
from scheduler.context import Context, batch_event, request_event
from scheduler.leases import Lease

__all__ = ["split"]


def split(context: Context, batch: BatchRow, lease: Lease, reason: str) -> None:
    """Two halves instead of one refused batch; a single refused request is abandoned. One append, all or none."""
    rows = sorted(
        requests(context.ledger, batch_id=batch.id, statuses=("batched",)),
        key=lambda row: row.batch_index or 0,
    )
    events = [batch_event(context, batch, BatchFailed(reason=reason))]
    if len(rows) == 1:
        abandoned = RequestAbandoned(reason=reason, attempts=rows[0].attempts)
        events.append(request_event(context, rows[0], abandoned))
    else:
        headers = Headers(batch.provider, batch.api_version, batch.betas)
        items = [Candidate(row.id, row.version, row.attempts, row.size) for row in rows]
        middle = len(items) // 2
        for half in (items[:middle], items[middle:]):
            events += plan_events(context, headers, half, reason="split", policy=context.policy(), parent=batch.id)
    context.ledger.append(events, guard=lease.guard)
