"""Cancel what is not answered yet: in the queue at once, with the provider by asking it, and only whole batches."""

from __future__ import annotations

from collections.abc import Iterable
from itertools import chain

from ledger import NewEvent
from ledger.errors import ProviderError
from ledger.events import BatchCancelRequested, BatchFailed, RequestCanceled
from ledger.projections import BatchRow, RequestRow
from ledger.queries import batch as read_batch
from ledger.queries import find_request
from scheduler.account import account_of
from scheduler.accumulator import items_of
from scheduler.by_hand.refusals import BY_HAND, NotPossible, decided_twice
from scheduler.context import Context, batch_event, request_event
from scheduler.replan import planned_without

__all__ = ["cancel_batch", "cancel_request"]


def cancel_request(context: Context, row: RequestRow, reason: str = BY_HAND) -> RequestRow:
    """Cancel a request that is not with the provider. One in a planned batch leaves it: the others are planned anew.

    Returns it as it then stands. Raises `NotPossible`.
    """

    def act(row: RequestRow) -> None:
        context.ledger.append(_cancellation(context, row, reason))

    return decided_twice(act, row, lambda row: find_request(context.ledger, row.id))


def cancel_batch(context: Context, row: BatchRow, reason: str = BY_HAND) -> BatchRow:
    """Cancel a batch: one that is still planned with all its requests, one in progress by asking the provider.

    That is recorded first, so that the scheduler repeats it. Returns it as it then stands. Raises `NotPossible`;
    `ConfigurationError` without a key, where one is needed; and `ProviderError` if recorded, but not heard.
    """

    def act(row: BatchRow) -> None:
        if row.status in ("in_progress", "canceling"):
            _check_account(context, row)
        if row.status != "canceling":
            context.ledger.append(_batch_cancellation(context, row, reason))

    row = decided_twice(act, row, lambda row: read_batch(context.ledger, row.id))
    if row.status == "canceling":
        try:
            context.provider.cancel(row.provider_batch_id or "")
        except ProviderError as error:
            raise ProviderError(f"recorded; `llm-ledger run` repeats it: {error}") from error
    return row


def _cancellation(context: Context, row: RequestRow, reason: str) -> Iterable[NewEvent]:
    canceled = request_event(context, row, RequestCanceled(reason=reason))
    match row.status:
        case "queued" | "fallback" | "failed" | "expired":
            return [canceled]
        case "batched":
            return chain([canceled], _planned_without(context, row))
        case "calling":
            raise NotPossible(row, "is being answered by a standard call at this moment; wait for its end")
        case "called":
            raise NotPossible(row, "is a standard call of an application; there is nothing to cancel")
        case ended:
            raise NotPossible(row, f"has ended already: {ended}")


def _planned_without(context: Context, leaving: RequestRow) -> Iterable[NewEvent]:
    batch = read_batch(context.ledger, leaving.batch_id or "")
    if batch.status in ("submitting", "uncertain"):
        raise NotPossible(leaving, f"is in batch {batch.id}, which is {batch.status}; wait until that is decided")
    if batch.status != "planned":
        raise NotPossible(
            leaving,
            f"is one of {batch.request_count:,} items of a batch that the provider has; it cancels only all of "
            f"them: `llm-ledger cancel {batch.id}`",
        )
    return planned_without(context, batch, {leaving.id}, f"request {leaving.custom_id} was canceled")


def _batch_cancellation(context: Context, row: BatchRow, reason: str) -> list[NewEvent]:
    match row.status:
        case "in_progress":
            return [batch_event(context, row, BatchCancelRequested(reason=reason))]
        case "planned":
            canceled = RequestCanceled(reason=reason)
            items = [request_event(context, item, canceled) for item in items_of(context.ledger, row)]
            return [batch_event(context, row, BatchFailed(reason=f"canceled: {reason}")), *items]
        case "submitting" | "uncertain":
            raise NotPossible(
                row,
                f"is {row.status}: whether the provider has it is not known yet; let `llm-ledger run` find out, "
                "then cancel it",
            )
        case ended:
            raise NotPossible(row, f"has ended already: {ended}")


def _check_account(context: Context, row: BatchRow) -> None:
    theirs = account_of(row)
    if theirs is not None and theirs != context.provider.account():
        raise NotPossible(
            row,
            f"belongs to another account ({theirs.base_url}, credential {theirs.credential[:8]}); set that "
            "account's key to cancel it",
        )
