"""Step: a batch that cannot be sent as a whole becomes two.

The provider refuses it: it is halved until the culprits stand alone. The budget holds it back: what may be sent is
parted from what may not. One append each time, all or none.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

from ledger.events import BatchFailed, RequestAbandoned
from ledger.projections import BatchRow, RequestRow
from scheduler.accumulator import items_of, plan_again
from scheduler.context import Context, batch_event, request_event
from scheduler.leases import Lease

__all__ = ["split", "split_at", "split_off"]


def split(context: Context, batch: BatchRow, lease: Lease, reason: str) -> None:
    """Two halves instead of one refused batch; a single refused request is abandoned."""
    rows = items_of(context.ledger, batch)
    middle = len(rows) // 2
    if _part(context, batch, lease, (rows[:middle], rows[middle:]), reason):
        return
    abandoned = [request_event(context, row, RequestAbandoned(reason=reason, attempts=row.attempts)) for row in rows]
    failed = batch_event(context, batch, BatchFailed(reason=reason))
    context.ledger.append([failed, *abandoned], guard=lease.guard)


def split_at(context: Context, batch: BatchRow, lease: Lease, count: int, reason: str) -> bool:
    """The first `count` items as one batch, the others as another. False if there would be only one."""
    rows = items_of(context.ledger, batch)
    return _part(context, batch, lease, (rows[:count], rows[count:]), reason)


def split_off(
    context: Context, batch: BatchRow, lease: Lease, odd: Callable[[RequestRow], bool], reason: str
) -> bool:
    """The odd items as a batch of their own, after that of the others. False if all are alike."""
    rows = items_of(context.ledger, batch)
    parts = [row for row in rows if not odd(row)], [row for row in rows if odd(row)]
    return _part(context, batch, lease, parts, reason)


def _part(
    context: Context, batch: BatchRow, lease: Lease, parts: Sequence[Sequence[RequestRow]], reason: str
) -> bool:
    if not all(parts):
        return False
    events = [batch_event(context, batch, BatchFailed(reason=reason))]
    for rows in parts:
        events += plan_again(context, batch, rows, "split")
    context.ledger.append(events, guard=lease.guard)
    return True
