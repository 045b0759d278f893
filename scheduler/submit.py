"""Step: a planned batch is sent. The intent is on record before the first byte leaves, the outcome after.

One POST per intent, never repeated here. Where the outcome is not known it is recorded as uncertain, and only
`reconcile` decides what happens next.
"""

from __future__ import annotations

import logging
from collections.abc import Iterator
from typing import Final

import msgspec
from sqlalchemy import Connection, bindparam, literal_column, select

from ledger import schema
from ledger.clock import from_micros
from ledger.errors import LedgerError, ProviderError, ProviderUnreachable, VersionConflict
from ledger.events import (
    BatchSubmissionRefused,
    BatchSubmissionStarted,
    BatchSubmissionUncertain,
    BatchSubmitted,
)
from ledger.payloads import read_payloads
from ledger.projections import BatchRow
from ledger.queries import batch as read_batch
from scheduler.budget import BudgetHold, guard, hold, reservation
from scheduler.context import Context, batch_event
from scheduler.leases import Lease, LeaseLost
from scheduler.pages import pages
from scheduler.policy import poll_delay, retry_delay
from scheduler.providers.base import (
    BatchItem,
    BatchStatus,
    BatchTooLarge,
    CapacityRefused,
    InvalidBatch,
    SubmissionUncertain,
)
from scheduler.split import split
from scheduler.twins import record_twin
from scheduler.wire import wire_id

__all__ = ["submit", "suspect"]

_log = logging.getLogger(__name__)

_PAGE: Final = 1000

_REQUEST: Final = schema.requests.c
_STATE: Final = schema.request_states.c
_PLACES: Final = (
    select(_STATE.batch_index, _REQUEST.payload, _REQUEST.size)
    .join_from(schema.request_states, schema.requests, _STATE.seq == _REQUEST.seq)
    .where(
        _STATE.batch_id == bindparam("batch"),
        _STATE.status == literal_column("'batched'"),  # as a partial index has it
        _STATE.batch_index > bindparam("after"),
    )
    .order_by(_STATE.batch_index)
    .limit(literal_column(str(_PAGE)))  # written out: SQLite plans a statement anew for every bound limit
)


def submit(context: Context, batch: BatchRow, lease: Lease) -> bool:
    """Send a planned batch. Returns True: the provider was asked, and answered.

    Raises `ProviderError` after recording it, so that the worker can hold its fire; and so `PayloadPurged` and
    `LedgerCorrupt`, if a stored body cannot be read.
    """
    try:
        newest = context.provider.newest_batch()
    except ProviderError as error:
        _refused(context, batch, lease, str(error))
        raise
    try:
        intent = _intend(context, batch, lease, newest)
    except BudgetHold as error:
        hold(context, batch, lease, error)  # raises it again, unless a part of the batch may be sent
        return True
    try:
        status = _send(context, intent, lease)
    except LeaseLost as outcome:
        _refused(context, intent, lease, str(outcome))
    except CapacityRefused as outcome:
        _refused(context, intent, lease, str(outcome), outcome.retry_after)
        # For as long as that lasts nothing gets through: to whoever waits it is the same as no answer.
        raise ProviderUnreachable(str(outcome)) from outcome
    except LedgerError as outcome:
        _refused(context, intent, lease, str(outcome))
        raise
    except (BatchTooLarge, InvalidBatch) as outcome:
        split(context, intent, lease, str(outcome))
    except SubmissionUncertain as outcome:
        _log.warning(
            "batch %s: its submission got no clear answer (%s); looking for it, nothing is lost", batch.id, outcome
        )
        uncertain = BatchSubmissionUncertain(reason=str(outcome), check_at=context.now())
        context.ledger.append([batch_event(context, intent, uncertain)], guard=lease.guard)
    else:
        _submitted(context, intent, lease, status)
    return True


def suspect(context: Context, batch: BatchRow, lease: Lease) -> bool:
    """The sender is gone and its deadline has passed: from here on only the provider's list can tell.

    Returns False: nobody was asked.
    """
    _log.warning("batch %s: its sender ended while sending; looking for it", batch.id)
    data = BatchSubmissionUncertain(reason="its sender ended while sending", check_at=context.now())
    context.ledger.append([batch_event(context, batch, data)], guard=lease.guard)
    return False


def _intend(context: Context, batch: BatchRow, lease: Lease, newest: BatchStatus | None) -> BatchRow:
    reserved = reservation(context, batch)
    within_budget = guard(context, batch, reserved)

    def allowed(connection: Connection) -> None:
        lease.guard(connection)
        within_budget(connection)

    data = BatchSubmissionStarted(
        nonce=context.nonce(),
        deadline=from_micros(lease.deadline),
        newest_before=newest.id if newest is not None else None,
        noted_at=newest.created_at if newest is not None else None,
        account=msgspec.Raw(msgspec.json.encode(context.provider.account())),
        reserved=reserved,
    )
    context.ledger.append([batch_event(context, batch, data)], guard=allowed)
    return read_batch(context.ledger, batch.id)


def _send(context: Context, batch: BatchRow, lease: Lease) -> BatchStatus:
    nonce = batch.nonce or ""
    ids = sum(len(wire_id(nonce, index)) for index in range(batch.request_count))
    return context.provider.create(
        lambda: _items(context, batch, nonce),
        size=batch.size + ids,
        count=batch.request_count,
        api_version=batch.api_version,
        betas=tuple(batch.betas.split(",")) if batch.betas else (),
        before_send=lease.check,
    )


def _items(context: Context, batch: BatchRow, nonce: str) -> Iterator[BatchItem]:
    """The items in order, read from the stored payloads page by page: a body never stands in memory whole."""
    for page in pages(_places(context, batch), lambda place: place[2], most=_PAGE):
        with context.ledger.read() as connection:
            bodies = read_payloads(connection, [payload for _, payload, _ in page])
        for index, payload, _ in page:
            yield BatchItem(wire_id(nonce, index), bodies[payload])


def _places(context: Context, batch: BatchRow) -> Iterator[tuple[int, bytes, int]]:
    """Index, payload and size in bytes of each item, in order."""
    after = -1
    while True:
        with context.ledger.read() as connection:
            rows = connection.execute(_PLACES, {"batch": batch.id, "after": after}).all()
        yield from ((row.batch_index, row.payload, row.size) for row in rows)
        if len(rows) < _PAGE:
            return
        after = rows[-1].batch_index


def _refused(context: Context, batch: BatchRow, lease: Lease, reason: str, retry_after: float | None = None) -> None:
    """Nothing was made: the batch stays planned, and the next attempt waits."""
    # Two events an attempt, or one that is refused before its intent: this grows where `submissions` would not.
    attempts = (batch.version - batch.polls + 1) // 2
    delay = retry_delay(attempts, context.policy(), context.random(), retry_after)
    data = BatchSubmissionRefused(reason=reason, due_at=context.after(delay))
    context.ledger.append([batch_event(context, batch, data)], guard=lease.guard)


def _submitted(context: Context, batch: BatchRow, lease: Lease, status: BatchStatus) -> None:
    data = _submission(context, batch, status)
    try:
        context.ledger.append([batch_event(context, batch, data)], guard=lease.guard)
        return
    except (LeaseLost, VersionConflict):
        _log.warning("batch %s: the lease ended before the answer came", batch.id)
    while True:
        try:
            _answered_late(context, batch, status, data)
        except VersionConflict:
            continue  # whoever holds the lease by now acted at the same moment: look again
        break


def _answered_late(context: Context, batch: BatchRow, status: BatchStatus, data: BatchSubmitted) -> None:
    """Record an answer without a lease: the id in it is proof. If the batch went on without it, it is there twice."""
    present = read_batch(context.ledger, batch.id)
    if present.provider_batch_id == data.provider_batch_id:
        return
    awaited = present.status == "submitting" and present.nonce == data.nonce
    if awaited or present.status in ("planned", "uncertain"):
        context.ledger.append([batch_event(context, present, data)])
    else:
        record_twin(context, present, status, data.nonce)


def _submission(context: Context, batch: BatchRow, status: BatchStatus) -> BatchSubmitted:
    return BatchSubmitted(
        provider_batch_id=status.id,
        created_at=status.created_at,
        expires_at=status.expires_at,
        next_poll_at=context.after(poll_delay(0, context.policy(), context.random())),
        nonce=batch.nonce or "",
    )
