"""Whose batch is it? Batches are seen and read only by the account that made them."""

from __future__ import annotations

import logging
from itertools import islice, takewhile
from typing import Final

import msgspec

from ledger.errors import InputError, ProviderRefused, VersionConflict
from ledger.events import BatchPolled, batch_stream
from ledger.projections import BatchRow
from ledger.queries import active_batches
from ledger.queries import batch as read_batch
from scheduler.context import Context, batch_event
from scheduler.leases import Lease
from scheduler.policy import account_delay
from scheduler.providers.base import Account

__all__ = ["account_of", "take_over", "wrong_account"]

_log = logging.getLogger(__name__)

_LOOKS: Final = 12
"""So many looks at another account's batch, and the wait between them grows no more."""


def account_of(batch: BatchRow) -> Account | None:
    """The account it was, or may have been, submitted to; None before its first submission."""
    return msgspec.json.decode(batch.account or "null", type=Account | None)


def wrong_account(context: Context, batch: BatchRow, lease: Lease) -> bool:
    """True if the present credential is another account's: the batch then waits, and the log says for what."""
    theirs = account_of(batch)
    if theirs is None or theirs == context.provider.account():
        return False
    problem = (
        f"this batch belongs to another account ({theirs.base_url}, credential {theirs.credential[:8]}); "
        "set that account's key again to go on with it; if the present key has replaced that one, say so with "
        f"llm-ledger reconcile --same-account {batch.provider_batch_id or 'ID'}"
    )
    if batch.note != problem:
        _log.warning("batch %s: %s", batch.id, problem)
    delay = account_delay(_looks(context, batch, problem), context.random())
    data = BatchPolled(next_poll_at=context.after(delay), problem=problem)
    context.ledger.append([batch_event(context, batch, data)], guard=lease.guard)
    return True


def take_over(context: Context, batch: BatchRow) -> int:
    """Let the present credential go on with every open batch of the account that `batch` was submitted to.

    Proof that it is the same account is that `batch` is visible with it. Returns how many batches changed hands.
    Raises `InputError`, with nothing changed, where there is no proof, and `ProviderError` if nobody answers.
    """
    theirs, ours = account_of(batch), context.provider.account()
    if theirs is None or batch.provider_batch_id is None:
        raise InputError(f"batch {batch.id} proves nothing: the provider is not known to have it; name another one")
    if theirs == ours:
        raise InputError(f"batch {batch.id} already belongs to the account of the present key")
    try:
        status = context.provider.retrieve(batch.provider_batch_id)
    except ProviderRefused as error:
        if error.status != 404:
            raise
        raise InputError(
            f"batch {batch.provider_batch_id} is not visible with the present key: it is another account's "
            "(or the batch was deleted there; then name another one)"
        ) from error
    if status.total != batch.request_count:
        raise InputError(
            f"batch {batch.provider_batch_id} has {status.total} items with the present key, "
            f"but {batch.request_count} were sent: that is no proof; name another one"
        )
    open_ones = [one for one in active_batches(context.ledger) if account_of(one) == theirs]
    for one in open_ones:
        _hand_over(context, one, theirs, ours)
    return len(open_ones)


def _hand_over(context: Context, batch: BatchRow, theirs: Account, ours: Account) -> None:
    data = BatchPolled(next_poll_at=context.now(), account=msgspec.Raw(msgspec.json.encode(ours)))
    while account_of(batch) == theirs:
        try:
            context.ledger.append([batch_event(context, batch, data)])
            return
        except VersionConflict:  # its worker has looked in vain at this moment
            batch = read_batch(context.ledger, batch.id)


def _looks(context: Context, batch: BatchRow, problem: str) -> int:
    """How often in a row this has been found. Not its polls: a key that was wrong for a moment costs a minute."""
    newest = islice(context.ledger.events(stream=batch_stream(batch.id), newest_first=True), _LOOKS)
    told = takewhile(lambda event: isinstance(event.data, BatchPolled) and event.data.problem == problem, newest)
    return sum(1 for _ in told)
