"""Looks for results in vain: each is on record, and after enough of them what nobody will ever see is given up.

Given up is final for the scheduler: the provider may have answered, and been paid. Only a person sends it again.
"""

from __future__ import annotations

import logging
from collections.abc import Iterator, Sequence
from datetime import datetime, timedelta
from itertools import islice
from typing import Final

import msgspec

from ledger.events import (
    BatchCounts,
    BatchPolled,
    BatchResultsCollected,
    RequestAbandoned,
    RequestCostUnknown,
    batch_stream,
)
from ledger.projections import BatchRow
from ledger.queries import batch as read_batch
from scheduler.anomalies import EVERYTHING, digest, gone, joined, lack, looks, lost
from scheduler.context import Context, batch_event
from scheduler.deadlines import alarm, expired, kept_until
from scheduler.items import Item, Outcome, item_events, items, unrecorded
from scheduler.leases import Lease
from scheduler.policy import poll_delay

__all__ = ["look_again", "nothing_to_read", "some_missing", "warned"]

_log = logging.getLogger(__name__)

_PAGE: Final = 1000
_OFTEN: Final = 3
_RARELY: Final = timedelta(minutes=15)
"""Between looks at a file that lacked the same items so often: it is whole, and will hardly change."""


def look_again(context: Context, batch: BatchRow, lease: Lease, problem: str, lacking: str | None = None) -> None:
    """Record a look in vain, and when the next one is due."""
    present = read_batch(context.ledger, batch.id)
    at = context.after(poll_delay(present.polls, context.policy(), context.random()))
    if lacking not in (None, EVERYTHING) and len(list(islice(_looks(context, batch, lacking), _OFTEN))) == _OFTEN:
        at = max(at, context.now() + _RARELY)
    data = BatchPolled(
        next_poll_at=at,
        problem=warned(context, batch, problem),
        provider_time=context.provider.provider_time(),
        lacking=lacking,
    )
    context.ledger.append([batch_event(context, present, data)], guard=lease.guard)


def warned(context: Context, batch: BatchRow, problem: str | None) -> str | None:
    """The problem, and with it that time runs out, if so. The log hears of that once, and of every change."""
    now = context.provider.provider_time() or context.now()
    told = alarm(batch, now, context.provider.limits.results_kept_seconds)
    if told is not None and told not in (batch.note or ""):
        _log.warning("batch %s: %s", batch.id, told)
    return joined(problem, told)


def nothing_to_read(context: Context, batch: BatchRow, lease: Lease, problem: str) -> bool:
    """The results, or the batch itself, are not there. True if all that is left of it was given up for that."""
    kept, now = context.provider.limits.results_kept_seconds, context.provider.provider_time()
    end = kept_until(batch, kept)
    if end is None or not expired(batch, now, kept) or not gone(_looks(context, batch, EVERYTHING), end):
        look_again(context, batch, lease, problem, EVERYTHING)
        return False
    reason = f"its results expired on {end:%Y-%m-%d %H:%M} UTC before they were fetched"
    missing = unrecorded(context, batch, range(batch.request_count))
    _give_up(context, batch, lease, missing, reason, BatchResultsCollected(lines=0, missing=len(missing)))
    return True


def some_missing(
    context: Context, batch: BatchRow, lease: Lease, missing: Sequence[int], found: BatchResultsCollected
) -> None:
    """A whole reading, which is what `found` says, lacks these items: again later, or given up at last."""
    lacking = digest(missing)
    if lost(_looks(context, batch, lacking)):
        reason = "the provider's results lack it, however often they are read"
        _give_up(context, batch, lease, missing, reason, msgspec.structs.replace(found, missing=len(missing)))
    else:
        look_again(context, batch, lease, lack(missing), lacking)


def _looks(context: Context, batch: BatchRow, lacking: str) -> Iterator[datetime]:
    """When the same was found missing now and before; by the provider's clock, newest first."""
    now = context.provider.provider_time()
    if now is not None:
        yield now
    newest = context.ledger.events(stream=batch_stream(batch.id), newest_first=True)
    yield from looks((event.data for event in newest), lacking)


def _give_up(
    context: Context,
    batch: BatchRow,
    lease: Lease,
    missing: Sequence[int],
    reason: str,
    collected: BatchResultsCollected,
) -> None:
    _log.warning("batch %s: %d items given up: %s", batch.id, len(missing), reason)

    def outcomes(index: int, item: Item) -> Sequence[Outcome]:
        return _lost(batch, index, item, reason)

    for start in range(0, len(missing), _PAGE):
        found = items(context, batch, set(missing[start : start + _PAGE]))
        context.ledger.append(item_events(batch, found, outcomes, context.now()), guard=lease.guard)
    present = read_batch(context.ledger, batch.id)
    context.ledger.append([batch_event(context, present, collected)], guard=lease.guard)


def _lost(batch: BatchRow, index: int, item: Item, reason: str) -> list[Outcome]:
    """What is recorded of an item that nobody will see: perhaps paid for, and so never sent again by itself."""
    if batch.twin_of is not None and _billed_by_count(batch) == 0:
        return []
    unknown: Outcome = ("cost", RequestCostUnknown(reason=reason, batch_id=batch.id, batch_index=index))
    if item.status != "batched" or item.batch_id != batch.id:
        return [unknown]
    final = f"{reason}; it may have been paid for, `llm-ledger retry ID` sends it again"
    return [unknown, ("outcome", RequestAbandoned(reason=final, attempts=item.attempts))]


def _billed_by_count(batch: BatchRow) -> int | None:
    """How many items of an ended batch the provider says were answered, None if it was not told."""
    if batch.ended_at is None or batch.counts is None:
        return None
    return msgspec.json.decode(batch.counts, type=BatchCounts).succeeded
