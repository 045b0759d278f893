"""Step: the provider is asked how a batch is doing. Every answer is an event, and says when to ask again."""

from __future__ import annotations

from ledger.errors import ProviderError
from ledger.events import BatchCounts, BatchEnded, BatchPolled
from ledger.projections import BatchRow
from scheduler.account import wrong_account
from scheduler.context import Context, batch_event
from scheduler.leases import Lease
from scheduler.policy import poll_delay
from scheduler.providers.base import BatchStatus

__all__ = ["poll"]


def poll(context: Context, batch: BatchRow, lease: Lease) -> bool:
    """Ask once. Returns whether it did.

    Raises `ProviderError` after recording it, so that the worker can hold its fire.
    """
    if wrong_account(context, batch, lease):
        return False
    next_poll_at = context.after(poll_delay(batch.polls, context.policy(), context.random()))
    try:
        status = context.provider.retrieve(batch.provider_batch_id or "")
    except ProviderError as error:
        failed = BatchPolled(next_poll_at=next_poll_at, problem=str(error))
        context.ledger.append([batch_event(context, batch, failed)], guard=lease.guard)
        raise
    answer = BatchPolled(next_poll_at=next_poll_at, state=status.state, counts=_counts(status))
    events = [batch_event(context, batch, answer)]
    if status.state == "ended":
        ended = BatchEnded(ended_at=status.ended_at or context.now(), counts=_counts(status))
        events.append(batch_event(context, batch, ended, ahead=2))
    context.ledger.append(events, guard=lease.guard)
    return True


def _counts(status: BatchStatus) -> BatchCounts:
    return BatchCounts(
        processing=status.processing,
        succeeded=status.succeeded,
        errored=status.errored,
        canceled=status.canceled,
        expired=status.expired,
    )
