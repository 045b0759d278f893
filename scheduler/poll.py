"""Step: the provider is asked how a batch is doing. Every answer is an event, and says when to ask again."""

from __future__ import annotations

from ledger.errors import ProviderError, ProviderRefused
from ledger.events import BatchEnded, BatchPolled
from ledger.projections import BatchRow
from scheduler.account import check_account
from scheduler.anomalies import joined, miscounted
from scheduler.context import Context, batch_event
from scheduler.leases import Lease
from scheduler.lost import look_again, nothing_to_read, warned
from scheduler.policy import poll_delay
from scheduler.providers.base import BatchStatus

__all__ = ["poll"]


def poll(context: Context, batch: BatchRow, lease: Lease) -> bool:
    """Ask once. Returns whether it did.

    Raises `ProviderError` after recording it, so that the worker can hold its fire.
    """
    check_account(context, batch, lease)
    try:
        status, problem = _ask(context, batch)
    except ProviderError as error:
        if not isinstance(error, ProviderRefused) or error.status != 404:
            look_again(context, batch, lease, str(error))
            raise
        if not nothing_to_read(context, batch, lease, str(error)):
            raise
        return True
    answer = BatchPolled(
        next_poll_at=context.after(poll_delay(batch.polls, context.policy(), context.random())),
        state=status.state,
        counts=status.counts,
        problem=warned(context, batch, joined(miscounted(batch, status.total), problem)),
        provider_time=context.provider.provider_time(),
    )
    events = [batch_event(context, batch, answer)]
    if status.state == "ended":
        ended = BatchEnded(ended_at=status.ended_at or context.now(), counts=status.counts)
        events.append(batch_event(context, batch, ended, ahead=2))
    context.ledger.append(events, guard=lease.guard)
    return True


def _ask(context: Context, batch: BatchRow) -> tuple[BatchStatus, str | None]:
    """The batch now, and why it could not be stopped. One that is to be stopped, and works on, is told so again."""
    batch_id = batch.provider_batch_id or ""
    status = context.provider.retrieve(batch_id)
    if batch.status != "canceling" or status.state != "in_progress":
        return status, None
    try:
        return context.provider.cancel(batch_id), None
    except ProviderRefused as error:  # it may have ended at this moment
        return status, f"it could not be canceled: {error}"
