"""Uncertain batches by hand: look for all of them now, or give one up for lost."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from typing import Final, Literal

import msgspec

from ledger.clock import to_micros
from ledger.errors import InputError
from ledger.events import BatchSubmissionReleased
from ledger.projections import BatchRow
from ledger.queries import active_batches
from ledger.queries import batch as read_batch
from scheduler.account import AnotherAccount
from scheduler.context import Context, batch_event
from scheduler.leases import Lease, Leases
from scheduler.machine import Step, next_step
from scheduler.reconcile import reconcile
from scheduler.submit import suspect

__all__ = ["Sought", "release", "seek"]

_BUSY: Final = "another process is at work on it"


class Sought(msgspec.Struct, frozen=True, kw_only=True):
    """What a look for one uncertain batch came to. `why` is for people."""

    batch_id: str
    outcome: Literal["adopted", "released", "uncertain", "held"]
    provider_batch_id: str | None
    items: int
    why: str


def seek(context: Context, leases: Leases) -> list[Sought]:
    """Make the next step now with every batch whose submission nobody saw end. Raises `ProviderError`."""
    now = to_micros(context.now())
    return [
        _seek(context, leases, batch)
        for batch in active_batches(context.ledger)
        if batch.provider == context.provider.name
        and (batch.status == "uncertain" or next_step(batch, now) is Step.SUSPECT)
    ]


def release(context: Context, leases: Leases, batch_id: str, confirmed: Callable[[Sought], bool]) -> Sought:
    """Give an uncertain batch up for lost, so that it is sent again, after a last look for it.

    What it risks is for `confirmed` to say: if the provider has it after all, it is paid twice. Raises `InputError`
    for a batch that is not uncertain, or in somebody else's hands, and `ProviderError` if it cannot be looked for.
    """
    batch = read_batch(context.ledger, batch_id)
    if batch.status != "uncertain":
        raise InputError(f"batch {batch.id} is {batch.status}: only one that is uncertain can be released")
    sought = _seek(context, leases, batch)
    if sought.outcome == "held":
        raise InputError(f"batch {batch.id}: {sought.why}; try again in a moment")
    if sought.outcome != "uncertain" or not confirmed(sought):
        return sought
    with _held(leases, batch.id) as lease:
        if lease is None:
            raise InputError(f"batch {batch.id}: {_BUSY}; try again in a moment")
        batch = read_batch(context.ledger, batch.id)
        if batch.status == "uncertain":
            data = BatchSubmissionReleased(reason=f"by hand ({batch.note})")
            context.ledger.append([batch_event(context, batch, data)], guard=lease.guard)
    return _told(context, batch.id)


def _seek(context: Context, leases: Leases, batch: BatchRow) -> Sought:
    with _held(leases, batch.id) as lease:
        if lease is None:
            return _sought(batch, "held", _BUSY)
        batch = read_batch(context.ledger, batch.id)
        if next_step(batch, to_micros(context.now())) is Step.SUSPECT:
            suspect(context, batch, lease)
            batch = read_batch(context.ledger, batch.id)
        if batch.status == "uncertain":
            with suppress(AnotherAccount):  # the batch's note says so
                reconcile(context, batch, lease)
    return _told(context, batch.id)


def _told(context: Context, batch_id: str) -> Sought:
    batch = read_batch(context.ledger, batch_id)
    if batch.provider_batch_id is not None:
        return _sought(batch, "adopted", "found again; its results are collected")
    if batch.status == "uncertain":
        return _sought(batch, "uncertain", batch.note or "")
    return _sought(batch, "released", f"to be sent again: {batch.note}")


def _sought(batch: BatchRow, outcome: Literal["adopted", "released", "uncertain", "held"], why: str) -> Sought:
    return Sought(
        batch_id=batch.id,
        outcome=outcome,
        provider_batch_id=batch.provider_batch_id,
        items=batch.request_count,
        why=why,
    )


@contextmanager
def _held(leases: Leases, batch_id: str) -> Iterator[Lease | None]:
    lease = leases.acquire(batch_id)
    try:
        yield lease
    finally:
        if lease is not None:
            leases.release(lease)
