"""Step: is a batch whose submission nobody saw end among the provider's batches?

Custom ids are visible only in results. So every batch of the provider's that is newer than the intent, has its
number of items and is nobody's in this ledger is a candidate, and is watched until its results name a nonce.
Ours: adopted, on proof. A stranger's: left alone. None left, the quiet time over, the list read to its end: released.
"""

from __future__ import annotations

import logging
from datetime import datetime, timedelta

import msgspec
from sqlalchemy import select

from ledger import schema
from ledger.clock import from_micros
from ledger.errors import ProviderError
from ledger.events import BatchPolled, BatchSubmissionReleased, BatchSubmitted
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


def reconcile(context: Context, batch: BatchRow, lease: Lease) -> None:
    """Look once. Raises `ProviderError` after recording it, so that the worker can hold its fire."""
    if wrong_account(context, batch, lease):
        return
    try:
        candidates = _candidates(context, batch)
        for candidate in candidates:
            if candidate.state == "ended" and (nonce := _proof(context, batch, candidate)):
                _adopt(context, batch, lease, candidate, nonce)
                return
        waiting = [one for one in candidates if one.state != "ended"]
    except (ProviderError, ResultsUnavailable) as error:
        _later(context, batch, lease, str(error))
        if isinstance(error, ProviderError):
            raise
        return
    quiet_until = from_micros(batch.deadline or 0) + timedelta(seconds=context.policy().submit_quiet_seconds)
    if waiting:
        _later(context, batch, lease, f"waiting for the end of {len(waiting)} batches that may be this one")
    elif context.now() < quiet_until:
        _later(context, batch, lease, "no candidate yet; it may still appear", at_most=quiet_until)
    else:
        data = BatchSubmissionReleased(reason="the provider lists no batch that could be this one")
        context.ledger.append([batch_event(context, batch, data)], guard=lease.guard)


def _candidates(context: Context, batch: BatchRow) -> list[BatchStatus]:
    newer = [one for one in context.provider.list_newer(batch.newest_before) if one.total == batch.request_count]
    column = schema.batches.c.provider_batch_id
    with context.ledger.read() as connection:
        known = set(connection.scalars(select(column).where(column.in_([one.id for one in newer]))))
    return [one for one in newer if one.id not in known]


def _proof(context: Context, batch: BatchRow, candidate: BatchStatus) -> str | None:
    """The nonce of this batch's that the candidate's results carry."""
    nonces = set(msgspec.json.decode(batch.nonces))
    for number, result in enumerate(context.provider.results(candidate.id)):
        found = parse_wire_id(result.custom_id)
        if found is not None and found[0] in nonces:
            return found[0]
        if number >= _PROOF_LINES:
            break
    return None


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
