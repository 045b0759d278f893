"""Whose batch is it? Batches are seen and read only by the account that made them."""

from __future__ import annotations

import logging

import msgspec

from ledger.errors import InputError, LedgerError, ProviderRefused, VersionConflict
from ledger.events import BatchPolled
from ledger.projections import BatchRow
from ledger.queries import active_batches
from ledger.queries import batch as read_batch
from scheduler.context import Context, batch_event
from scheduler.leases import Lease
from scheduler.providers.base import Account

__all__ = ["AnotherAccount", "account_of", "check_account", "take_over"]

_log = logging.getLogger(__name__)


class AnotherAccount(LedgerError):
    """A batch is another account's than the present credential's, and left to whoever has that one's.

    `account` is that account as the batch's row holds it.
    """

    def __init__(self, batch: BatchRow, problem: str) -> None:
        super().__init__(problem)
        self.batch_id, self.account = batch.id, batch.account or ""


def account_of(batch: BatchRow) -> Account | None:
    """The account it was, or may have been, submitted to; None before its first submission."""
    return msgspec.json.decode(batch.account or "null", type=Account | None)


def check_account(context: Context, batch: BatchRow, lease: Lease) -> None:
    """Raises `AnotherAccount` if the present credential is another account's; what the batch waits for is told once.

    It stays due: somebody else may have that account's credential.
    """
    theirs = account_of(batch)
    if theirs is None or theirs == context.provider.account():
        return
    problem = (
        f"this batch belongs to another account ({theirs.base_url}, credential {theirs.credential[:8]}); "
        "set that account's key again to go on with it; if the present key has replaced that one, say so with "
        f"llm-ledger reconcile --same-account {batch.provider_batch_id or 'ID'}"
    )
    if batch.note != problem:
        _log.warning("batch %s: %s", batch.id, problem)
        data = BatchPolled(next_poll_at=context.now(), problem=problem)
        context.ledger.append([batch_event(context, batch, data)], guard=lease.guard)
    raise AnotherAccount(batch, problem)


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
