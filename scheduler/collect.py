"""Step: the results of an ended batch are fetched, line by line, and every item is checked off.

Order does not matter, nor does a crash in the middle: what is settled already is dropped before the append, and
the ids of the events follow from batch and item. Only when no item is left unsettled is the batch collected; a
file cut off at the end of a line looks whole, and only the count tells.

A twin is collected to see what it cost. Its answers are paid for in vain, but for a request that has none yet: then
the first one wins. What it did not answer settles nothing.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from typing import Final

import msgspec

from ledger.clock import from_micros
from ledger.errors import ProviderError, ProviderRefused, VersionConflict
from ledger.events import (
    BatchCounts,
    BatchResultsCollected,
    CacheUsageRecorded,
    RequestCanceled,
    RequestCostUnknown,
    RequestExpired,
    RequestFailed,
    RequestSucceeded,
)
from ledger.payloads import EncodedPayload, encode_payload
from ledger.projections import TERMINAL, BatchRow
from ledger.queries import batch as read_batch
from scheduler.account import check_account
from scheduler.context import Context, batch_event
from scheduler.items import Item, Outcome, item_events, items, unrecorded
from scheduler.leases import Lease
from scheduler.lost import look_again, nothing_to_read, some_missing
from scheduler.pages import pages
from scheduler.providers.base import ItemResult, ResultsUnavailable
from scheduler.replan import withdrawal
from scheduler.usage import unreadable
from scheduler.wire import parse_wire_id

__all__ = ["collect"]

_PAGE: Final = 5000
"""Lines recorded at once: two events each come to what the store folds at once. Results come in any order, so that
the fewer commits there are, the fewer pages of the database are written."""


class _Tally(msgspec.Struct):
    """What a reading of the file held: our items, by index and by kind, and what else."""

    lines: int = 0
    foreign: int = 0
    repeated: int = 0
    seen: set[int] = msgspec.field(default_factory=set)
    put_off: set[int] = msgspec.field(default_factory=set)
    kinds: Counter[str] = msgspec.field(default_factory=Counter)

    def told(self) -> BatchResultsCollected:
        """The same as an event tells it."""
        counts = BatchCounts(**self.kinds)
        return BatchResultsCollected(lines=self.lines, foreign=self.foreign, repeated=self.repeated, counts=counts)


def collect(context: Context, batch: BatchRow, lease: Lease) -> bool:
    """Fetch everything once. Returns whether the provider was asked.

    Raises `ProviderError` after recording it, so that the worker can hold its fire.
    """
    check_account(context, batch, lease)
    tally = _Tally()
    try:
        lines = context.provider.results(batch.provider_batch_id or "")
        for page in pages(lines, lambda line: len(line.body), most=_PAGE):
            _settle(context, batch, lease, page, tally)
    except ResultsUnavailable as error:
        nothing_to_read(context, batch, lease, str(error))
        return True
    except ProviderError as error:
        if not isinstance(error, ProviderRefused) or error.status != 404:
            look_again(context, batch, lease, str(error))
            raise
        if not nothing_to_read(context, batch, lease, str(error)):
            raise
        return True
    if tally.put_off:
        look_again(context, batch, lease, f"{len(tally.put_off):,} answers wait: their requests are being sent again")
        return True
    unseen = set(range(batch.request_count)) - tally.seen
    if missing := unrecorded(context, batch, unseen):
        some_missing(context, batch, lease, missing, tally.told())
        return True
    present = read_batch(context.ledger, batch.id)
    context.ledger.append([batch_event(context, present, tally.told())], guard=lease.guard)
    return True


def _settle(context: Context, batch: BatchRow, lease: Lease, page: Sequence[ItemResult], tally: _Tally) -> None:
    """Record a page of lines. If somebody else settled some of them meanwhile, look again, once."""
    results: dict[int, ItemResult] = {}
    for result in page:
        tally.lines += 1
        found = parse_wire_id(result.custom_id)
        if found is None or found[0] != batch.nonce or found[1] >= batch.request_count:
            tally.foreign += 1
        elif found[1] in tally.seen:
            tally.repeated += 1
        else:
            tally.seen.add(found[1])
            tally.kinds[result.kind] += 1
            results[found[1]] = result
    try:
        tally.put_off |= _append(context, batch, lease, results)
    except VersionConflict:
        tally.put_off |= _append(context, batch, lease, results)


def _append(context: Context, batch: BatchRow, lease: Lease, results: dict[int, ItemResult]) -> set[int]:
    """Returns the indexes that cannot be recorded yet."""
    bodies: list[EncodedPayload] = []

    def outcomes(index: int, item: Item) -> Sequence[Outcome]:
        return _outcome(batch, item, index, results[index], bodies)

    found = items(context, batch, results.keys())
    answered = {index: item for index, item in found.items() if results[index].kind == "succeeded"}
    withdrawn, put_off = withdrawal(context, batch, answered)
    recorded = {index: item for index, item in found.items() if index not in put_off}
    events = [*item_events(batch, recorded, outcomes, context.now()), *withdrawn]
    context.ledger.append(events, payloads=bodies, guard=lease.guard)
    return put_off


def _outcome(
    batch: BatchRow, item: Item, index: int, result: ItemResult, bodies: list[EncodedPayload]
) -> list[Outcome]:
    """What one line means for its request, in order."""
    if batch.twin_of is not None and result.kind != "succeeded":
        return []
    if result.kind == "expired":
        return [("outcome", RequestExpired(batch_id=batch.id, batch_index=index))]
    if result.kind == "canceled":
        return [("outcome", RequestCanceled(batch_id=batch.id, batch_index=index))]
    body = encode_payload(result.body)
    if result.kind == "errored" or item.status not in TERMINAL:  # a latecomer's answer is named by no event
        bodies.append(body)
    if result.kind == "errored":
        failed = RequestFailed(
            error_type=result.error_type or "unknown",
            message=result.error_message or "",
            retryable=result.retryable,
            batch_id=batch.id,
            batch_index=index,
            result=body.digest.hex(),
            size=body.size,
        )
        return [("outcome", failed)]
    return _success(batch, item, index, result, body)


def _success(batch: BatchRow, item: Item, index: int, result: ItemResult, body: EncodedPayload) -> list[Outcome]:
    model = result.model or item.model
    # The request was answered elsewhere before: this answer is paid for all the same.
    late = item.status in TERMINAL
    succeeded = RequestSucceeded(
        model=model,
        result=body.digest.hex(),
        size=body.size,
        processing="batch",
        batch_id=batch.id,
        batch_index=index,
        message_id=result.message_id,
        stop_reason=result.stop_reason,
    )
    events: list[Outcome] = [] if late else [("outcome", succeeded)]
    problem = unreadable(batch.provider, model, "batch", result.usage)
    if problem is not None:
        # Where an outcome was recorded that one names the item; a latecomer has nothing else to be checked off by.
        place = (batch.id, index) if late else (None, None)
        unknown = RequestCostUnknown(reason=problem, batch_id=place[0], batch_index=place[1])
        return [*events, ("cost", unknown)]
    usage = CacheUsageRecorded(
        role="duplicate" if late else "result",
        provider=batch.provider,
        model=model,
        processing="batch",
        billed_at=from_micros(batch.created_at or 0),
        usage=msgspec.Raw(result.usage or b"{}"),
        batch_id=batch.id,
        batch_index=index,
    )
    return [*events, ("usage", usage)]
