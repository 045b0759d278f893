"""A second batch of the provider's for one intent of ours: on record as a batch of its own, to see what it costs."""

from __future__ import annotations

import logging
from datetime import datetime
from uuid import UUID

import msgspec
from sqlalchemy import select

from ledger import NewEvent, schema
from ledger.errors import ProviderError, VersionConflict
from ledger.events import (
    BatchCancelRequested,
    BatchDuplicateDetected,
    BatchPlanned,
    BatchSubmissionStarted,
    BatchSubmitted,
    EventData,
    batch_stream,
)
from ledger.ids import derive
from ledger.projections import BatchRow
from ledger.queries import batch as read_batch
from scheduler.context import Context, batch_event
from scheduler.leases import Lease
from scheduler.providers.base import BatchStatus

__all__ = ["record_twin"]

_log = logging.getLogger(__name__)


def record_twin(
    context: Context, batch: BatchRow, found: BatchStatus, nonce: str, *, lease: Lease | None = None
) -> str:
    """Record that the provider also holds `found` for `batch`, proven by `nonce`, and have it canceled if it runs.

    Returns the id under which the ledger knows it: whoever finds it recorded, as a twin or by now as the batch
    itself, changes nothing. Raises `LeaseLost` if a lease is given that has ended.
    """
    twin_id = derive(UUID(batch.id), "twin", found.id)
    while True:
        # In this order: whoever records it in between changes the batch's stream, and is noticed by that.
        present = read_batch(context.ledger, batch.id)
        if (known := _known(context, found)) is not None:
            return known
        try:
            events = _events(context, present, twin_id, found, nonce)
            context.ledger.append(events, guard=lease.guard if lease is not None else None)
        except VersionConflict:
            continue
        break
    _log.warning("batch %s: the provider carried it out a second time, as %s", batch.id, found.id)
    if found.state == "in_progress":
        _cancel(context, batch, found)
    return str(twin_id)


def _known(context: Context, found: BatchStatus) -> str | None:
    column = schema.batches.c
    with context.ledger.read() as connection:
        return connection.scalar(select(column.id).where(column.provider_batch_id == found.id))


def _events(context: Context, batch: BatchRow, twin_id: UUID, found: BatchStatus, nonce: str) -> list[NewEvent]:
    now = context.now()
    detected = BatchDuplicateDetected(provider_batch_id=found.id, nonce=nonce, twin_id=str(twin_id))
    events = [batch_event(context, batch, detected)]
    for version, data in enumerate(_life(context, batch, found, nonce, now), start=1):
        stream, event_id = batch_stream(str(twin_id)), context.ledger.ids.new()
        events.append(NewEvent(stream, version, data, event_id, now, twin_id, UUID(batch.id)))
    return events


def _life(context: Context, batch: BatchRow, found: BatchStatus, nonce: str, now: datetime) -> list[EventData]:
    """What has happened to a twin by the time it is found."""
    life: list[EventData] = [
        BatchPlanned(
            provider=batch.provider,
            api_version=batch.api_version,
            betas=tuple(batch.betas.split(",")) if batch.betas else (),
            request_count=batch.request_count,
            size=batch.size,
            reason="twin",
            policy=msgspec.Raw(msgspec.json.encode(context.policy())),
            twin_of=batch.id,
        ),
        BatchSubmissionStarted(
            nonce=nonce,
            deadline=now,
            newest_before=None,
            account=msgspec.Raw(msgspec.json.encode(context.provider.account())),
        ),
        BatchSubmitted(
            provider_batch_id=found.id,
            created_at=found.created_at,
            expires_at=found.expires_at,
            next_poll_at=now,
            nonce=nonce,
            adopted=True,
        ),
    ]
    if found.state != "ended":
        life.append(BatchCancelRequested(reason=f"it is a second batch for {batch.id}"))
    return life


def _cancel(context: Context, batch: BatchRow, found: BatchStatus) -> None:
    """At once, for every moment costs; if it fails, the twin's own next step asks again."""
    try:
        context.provider.cancel(found.id)
    except ProviderError as error:
        _log.warning("batch %s: twin %s not canceled: %s", batch.id, found.id, error)
