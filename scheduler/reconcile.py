"""Step: is a batch whose submission nobody saw end among the provider's batches?

Custom ids are visible only in results. So every batch of the provider's that is newer than the intent, has its
number of items and is nobody's in this ledger is a candidate, and is watched until its results name a nonce.
Ours: adopted, on proof. A stranger's: left alone. None left, the quiet time over, the list read to its end: released.

Time is measured on the provider's clock wherever the provider tells it, so that no jump of ours releases anything.
"""

from __future__ import annotations

import logging
from datetime import datetime, timedelta
from typing import Final

import msgspec
from sqlalchemy import select

from ledger import schema
from ledger.errors import ProviderError
from ledger.events import (
    BatchPolled,
    BatchSubmissionReleased,
    BatchSubmissionStarted,
    BatchSubmitted,
    batch_stream,
)
from ledger.projections import BatchRow
from scheduler.account import account_of, check_account
from scheduler.context import Context, batch_event
from scheduler.leases import Lease
from scheduler.listing import GRANULE, Listing, list_batches
from scheduler.policy import poll_delay
from scheduler.proof import read_proof
from scheduler.providers.base import BatchStatus
from scheduler.twins import record_twin

__all__ = ["adopt", "reconcile"]

_log = logging.getLogger(__name__)

_FAR_BEFORE: Final = timedelta(hours=1)
"""Whatever was made so long before the intent was not made by it, however far the provider's own clocks differ."""


class _Intent(msgspec.Struct, frozen=True):
    """When the batch noted before the submission was made, and the provider's time at the first look for this one."""

    noted_at: datetime | None
    first_look: datetime | None


class _Look(msgspec.Struct, frozen=True):
    """What one look tells: whose results name us, by which nonce, and how many may still do so."""

    ours: list[tuple[BatchStatus, str]]
    undecided: int
    failure: ProviderError | None


def reconcile(context: Context, batch: BatchRow, lease: Lease) -> bool:
    """Look once. Returns whether the provider was asked.

    Raises `ProviderError` after recording it, so that the worker can hold its fire.
    """
    check_account(context, batch, lease)
    intent = _intent(context, batch)
    try:
        listing = list_batches(context, lambda one: _is_older(one, batch, intent))
        look = _look(context, batch, _candidates(context, batch, listing, intent))
        if look.failure is not None and not look.ours:
            raise look.failure
    except ProviderError as error:
        _later(context, batch, lease, str(error))
        raise
    if look.ours:
        _take(context, batch, lease, look.ours)
    elif look.undecided:
        _later(context, batch, lease, _waiting_for(look.undecided), heard=listing.provider_time)
    elif (left := _quiet_seconds_left(context, batch, intent, listing)) > 0:
        problem = "no candidate yet; it may still appear"
        _later(context, batch, lease, problem, heard=listing.provider_time, at_most=context.after(left))
    else:
        _log.warning("batch %s: the provider does not have it; it is sent again", batch.id)
        data = BatchSubmissionReleased(reason="the provider lists no batch that could be this one")
        context.ledger.append([batch_event(context, batch, data)], guard=lease.guard)
    return True


def adopt(context: Context, batch: BatchRow, found: BatchStatus, nonce: str, lease: Lease | None = None) -> None:
    """Record that the provider has the batch after all, as `found`, proven by `nonce`.

    Raises `VersionConflict` if the batch is not any more as it was read.
    """
    _log.warning("batch %s: found again as %s", batch.id, found.id)
    data = BatchSubmitted(
        provider_batch_id=found.id,
        created_at=found.created_at,
        expires_at=found.expires_at,
        next_poll_at=context.now(),
        nonce=nonce,
        adopted=True,
    )
    events = [batch_event(context, batch, data)]
    if account_of(batch) != (present := context.provider.account()):
        account = msgspec.Raw(msgspec.json.encode(present))
        events.append(batch_event(context, batch, BatchPolled(next_poll_at=context.now(), account=account), ahead=2))
    context.ledger.append(events, guard=lease.guard if lease is not None else None)


def _intent(context: Context, batch: BatchRow) -> _Intent:
    first_look: datetime | None = None
    for event in context.ledger.events(stream=batch_stream(batch.id), newest_first=True):
        match event.data:
            case BatchPolled(provider_time=told):
                first_look = told or first_look
            case BatchSubmissionStarted(noted_at=noted_at):
                return _Intent(noted_at, first_look)
            case _:
                pass
    return _Intent(None, first_look)


def _is_older(one: BatchStatus, batch: BatchRow, intent: _Intent) -> bool:
    """True of what was there long before the noted one: on its time only, since that may be gone by now."""
    if intent.noted_at is None:
        return one.id == batch.newest_before
    return one.created_at < intent.noted_at - _FAR_BEFORE


def _candidates(context: Context, batch: BatchRow, listing: Listing, intent: _Intent) -> list[BatchStatus]:
    """Those of the listed batches that may be this one.

    Newer than the noted one, that is, but for the granule by which the provider's machines may disagree.
    """
    since = intent.noted_at - GRANULE if intent.noted_at is not None else None
    newer = [
        one
        for one in listing.batches
        if one.total == batch.request_count
        and one.id != batch.newest_before
        and (since is None or one.created_at >= since)
    ]
    column = schema.batches.c
    with context.ledger.read() as connection:
        mine = column.provider_batch_id.in_([one.id for one in newer])
        known = set(connection.scalars(select(column.provider_batch_id).where(mine)))
    return [one for one in newer if one.id not in known]


def _look(context: Context, batch: BatchRow, candidates: list[BatchStatus]) -> _Look:
    nonces = set(msgspec.json.decode(batch.nonces))
    ours: list[tuple[BatchStatus, str]] = []
    undecided = 0
    failure: ProviderError | None = None
    for candidate in candidates:
        try:
            proof = read_proof(context, candidate)
        except ProviderError as error:  # one that cannot be read does not hide the others
            failure = error
            continue
        if found := proof.nonces & nonces:
            ours.append((candidate, min(found)))
        elif not proof.complete:
            undecided += 1
    return _Look(ours, undecided, failure)


def _take(context: Context, batch: BatchRow, lease: Lease, ours: list[tuple[BatchStatus, str]]) -> None:
    """One of them is the batch, every other one is a twin of it."""
    (found, nonce), *twins = ours
    adopt(context, batch, found, nonce, lease)
    for twin, sent_as in twins:
        record_twin(context, batch, twin, sent_as, lease=lease)


def _quiet_seconds_left(context: Context, batch: BatchRow, intent: _Intent, listing: Listing) -> float:
    """For how long a batch that was not listed may still appear: since the end of the first look, at the latest.

    Where the provider tells no time it is our own monotonic clock's, begun anew by every process.
    """
    quiet = context.policy().submit_quiet_seconds
    if listing.provider_time is None:
        now = context.ledger.clock.monotonic()
        return context.looked.setdefault(batch.nonce or "", now) + quiet - now
    if listing.asked_at is None or intent.first_look is None:
        return quiet
    return quiet - (listing.asked_at - intent.first_look).total_seconds()


def _waiting_for(undecided: int) -> str:
    batches = "1 batch" if undecided == 1 else f"{undecided} batches"
    return f"waiting for the results of {batches} that may be this one"


def _later(
    context: Context,
    batch: BatchRow,
    lease: Lease,
    problem: str,
    *,
    heard: datetime | None = None,
    at_most: datetime | None = None,
) -> None:
    at = context.after(poll_delay(batch.polls, context.policy(), context.random()))
    data = BatchPolled(next_poll_at=min(at, at_most or at), problem=problem, provider_time=heard)
    context.ledger.append([batch_event(context, batch, data)], guard=lease.guard)
