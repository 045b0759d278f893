"""Step: is a batch whose submission nobody saw end among the provider's batches?

Custom ids are visible only in results. So every batch of the provider's that is newer than the intent, has its
number of items and is nobody's in this ledger is a candidate, and is watched until its results name a nonce.
Ours: adopted, on proof. A stranger's: left alone. None left, the quiet time over, the list read to its end: released.
"""

from __future__ import annotations

import logging
from datetime import datetime, timedelta
from itertools import islice

import msgspec
from sqlalchemy import select

from ledger import schema
from ledger.clock import from_micros
from ledger.errors import ProviderError
from ledger.events import (
    BatchPolled,
    BatchSubmissionReleased,
    BatchSubmissionUncertain,
    BatchSubmitted,
    batch_stream,
)
from ledger.projections import BatchRow
from scheduler.account import wrong_account
from scheduler.context import Context, batch_event
from scheduler.leases import Lease
from scheduler.policy import poll_delay
from scheduler.providers.base import BatchStatus, ResultsUnavailable
from scheduler.wire import parse_wire_id

__all__ = ["reconcile"]

_log = logging.getLogger(__name__)

_PROOF_LINES = 1000
"""Lines of a candidate's results that are looked at: all ids of one batch carry one nonce."""

_CLOCKS_APART = timedelta(days=1)
"""By how much the provider's clock and ours may differ; results are kept far longer than that."""


def reconcile(context: Context, batch: BatchRow, lease: Lease) -> bool:
    """Look once. Returns whether the provider was asked.

    Raises `ProviderError` after recording it, so that the worker can hold its fire.
    """
    if wrong_account(context, batch, lease):
        return False
    undecided = 0
    try:
        for candidate in _candidates(context, batch):
            nonces = _nonces_in(context, candidate)
            if found := nonces & set(msgspec.json.decode(batch.nonces)):
                _adopt(context, batch, lease, candidate, found.pop())
                return True
            if nonces:
                context.ruled_out.add((batch.id, candidate.id))
            elif not _long_over(batch, candidate):
                undecided += 1
    except ProviderError as error:
        _later(context, batch, lease, str(error))
        raise
    quiet_until = _silent_since(context, batch) + timedelta(seconds=context.policy().submit_quiet_seconds)
    if undecided:
        _later(context, batch, lease, f"waiting for the results of {undecided} batches that may be this one")
    elif context.now() < quiet_until:
        _later(context, batch, lease, "no candidate yet; it may still appear", at_most=quiet_until)
    else:
        data = BatchSubmissionReleased(reason="the provider lists no batch that could be this one")
        context.ledger.append([batch_event(context, batch, data)], guard=lease.guard)
    return True


def _candidates(context: Context, batch: BatchRow) -> list[BatchStatus]:
    newer = [one for one in context.provider.list_newer(batch.newest_before) if one.total == batch.request_count]
    column = schema.batches.c.provider_batch_id
    with context.ledger.read() as connection:
        known = set(connection.scalars(select(column).where(column.in_([one.id for one in newer]))))
    return [one for one in newer if one.id not in known and (batch.id, one.id) not in context.ruled_out]


def _long_over(batch: BatchRow, candidate: BatchStatus) -> bool:
    """True of one that had ended long before ours was planned: where the noted id is gone, all of them are listed.

    Their results are no longer kept, so that nothing would ever rule them out.
    """
    return candidate.state == "ended" and candidate.created_at < from_micros(batch.planned_at) - _CLOCKS_APART


def _nonces_in(context: Context, candidate: BatchStatus) -> set[str]:
    """What stands before the index in the candidate's ids; nothing as long as not one line can be read."""
    nonces: set[str] = set()
    if candidate.state != "ended":
        return nonces
    try:
        for result in islice(context.provider.results(candidate.id), _PROOF_LINES):
            found = parse_wire_id(result.custom_id)
            nonces.add(found[0] if found is not None else "")
    except ResultsUnavailable as error:
        _log.info("candidate %s: %s", candidate.id, error)
    return nonces


def _silent_since(context: Context, batch: BatchRow) -> datetime:
    """When the sender saw its connection end, or was found to be gone: an upload may outlast the deadline by far."""
    events = context.ledger.events(stream=batch_stream(batch.id), newest_first=True)
    return next(event.occurred_at for event in events if isinstance(event.data, BatchSubmissionUncertain))


def _adopt(context: Context, batch: BatchRow, lease: Lease, candidate: BatchStatus, nonce: str) -> None:
    _log.info("batch %s: found again as %s", batch.id, candidate.id)
    data = BatchSubmitted(
        provider_batch_id=candidate.id,
        created_at=candidate.created_at,
        expires_at=candidate.expires_at,
        next_poll_at=context.now(),
        nonce=nonce,
        adopted=True,
    )
    context.ledger.append([batch_event(context, batch, data)], guard=lease.guard)


def _later(context: Context, batch: BatchRow, lease: Lease, problem: str, at_most: datetime | None = None) -> None:
    at = context.after(poll_delay(batch.polls, context.policy(), context.random()))
    data = BatchPolled(next_poll_at=min(at, at_most or at), problem=problem)
    context.ledger.append([batch_event(context, batch, data)], guard=lease.guard)
