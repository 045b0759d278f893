"""Step: the results of an ended batch are fetched, line by line, and every item is checked off.

Order does not matter, nor does a crash in the middle: what is settled already is dropped before the append, and
the ids of the events follow from batch and item. Only when no item is left unsettled is the batch collected; a
file cut off at the end of a line looks whole, and only the count tells.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from typing import Any, Final, NamedTuple
from uuid import UUID

import msgspec
from sqlalchemy import Select, func, select

from ledger import NewEvent, schema
from ledger.clock import from_micros
from ledger.errors import ProviderError, UsageUnreadable, VersionConflict
from ledger.events import (
    BatchPolled,
    BatchResultsCollected,
    CacheUsageRecorded,
    EventData,
    RequestCanceled,
    RequestCostUnknown,
    RequestExpired,
    RequestFailed,
    RequestSucceeded,
    request_stream,
)
from ledger.ids import derive
from ledger.payloads import EncodedPayload, encode_payload
from ledger.pricing import normalise_json
from ledger.projections import TERMINAL, BatchRow
from ledger.queries import batch as read_batch
from scheduler.account import wrong_account
from scheduler.accumulator import batched_event_id
from scheduler.context import Context, batch_event
from scheduler.leases import Lease
from scheduler.pages import pages
from scheduler.policy import poll_delay
from scheduler.providers.base import ItemResult, ResultsUnavailable
from scheduler.wire import parse_wire_id

__all__ = ["collect"]

_PAGE: Final = 5000
"""Lines recorded at once: two events each come to what the store folds at once. Results come in any order, so that
the fewer commits there are, the fewer pages of the database are written."""


class _Tally(msgspec.Struct):
    """What the file held besides the expected."""

    lines: int = 0
    foreign: int = 0
    repeated: int = 0


class _Item(NamedTuple):
    """What has to be known of a request to record its outcome; no more, since there are many."""

    id: str
    version: int
    status: str
    model: str
    batch_id: str | None


def collect(context: Context, batch: BatchRow, lease: Lease) -> bool:
    """Fetch everything once. Returns whether the provider was asked.

    Raises `ProviderError` after recording it, so that the worker can hold its fire.
    """
    if wrong_account(context, batch, lease):
        return False
    tally = _Tally()
    seen: set[int] = set()
    try:
        lines = context.provider.results(batch.provider_batch_id or "")
        for page in pages(lines, lambda line: len(line.body), most=_PAGE):
            _settle(context, batch, lease, page, tally, seen)
    except (ResultsUnavailable, ProviderError) as error:
        _again(context, batch, lease, str(error))
        if isinstance(error, ProviderError):
            raise
        return True
    missing = _unsettled(context, batch)
    if missing:
        _again(context, batch, lease, f"the results file ended early: {missing} items are missing")
        return True
    done = BatchResultsCollected(lines=tally.lines, foreign=tally.foreign, repeated=tally.repeated)
    present = read_batch(context.ledger, batch.id)
    context.ledger.append([batch_event(context, present, done)], guard=lease.guard)
    return True


def _again(context: Context, batch: BatchRow, lease: Lease, problem: str) -> None:
    present = read_batch(context.ledger, batch.id)
    delay = poll_delay(present.polls, context.policy(), context.random())
    data = BatchPolled(next_poll_at=context.after(delay), problem=problem)
    context.ledger.append([batch_event(context, present, data)], guard=lease.guard)


def _unsettled(context: Context, batch: BatchRow) -> int:
    state = schema.request_states.c
    query = select(func.count()).where(state.batch_id == batch.id, state.status == "batched")
    with context.ledger.read() as connection:
        return connection.scalar(query) or 0


def _settle(
    context: Context, batch: BatchRow, lease: Lease, page: Sequence[ItemResult], tally: _Tally, seen: set[int]
) -> None:
    """Record a page of lines. If somebody else settled some of them meanwhile, look again, once."""
    results: dict[int, ItemResult] = {}
    for result in page:
        tally.lines += 1
        found = parse_wire_id(result.custom_id)
        if found is None or found[0] != batch.nonce or found[1] >= batch.request_count:
            tally.foreign += 1
        elif found[1] in seen:
            tally.repeated += 1
        else:
            seen.add(found[1])
            results[found[1]] = result
    try:
        _append(context, batch, lease, results)
    except VersionConflict:
        _append(context, batch, lease, results)


def _append(context: Context, batch: BatchRow, lease: Lease, results: dict[int, ItemResult]) -> None:
    events: list[NewEvent] = []
    bodies: list[EncodedPayload] = []
    items = _open_items(context, batch, results)
    items |= _latecomers(context, batch, results.keys() - items.keys())
    now, batch_id = context.now(), UUID(batch.id)
    for index, item in sorted(items.items()):
        outcome = _outcome(batch, item, index, results[index], bodies)
        stream, request_id = request_stream(item.id), UUID(item.id)
        cause = UUID(item.batch_id) if item.batch_id else None
        for version, (name, data) in enumerate(outcome, start=item.version + 1):
            event_id = derive(batch_id, index, name)
            events.append(NewEvent(stream, version, data, event_id, now, request_id, cause))
    context.ledger.append(events, payloads=bodies, guard=lease.guard)


def _select_items() -> Select[*tuple[Any, ...]]:
    request, state = schema.requests, schema.request_states
    columns = (request.c.id, state.c.version, state.c.status, request.c.model, state.c.batch_id)
    return select(*columns).join_from(state, request, state.c.seq == request.c.seq)


def _open_items(context: Context, batch: BatchRow, indexes: Collection[int]) -> dict[int, _Item]:
    """Those of the items whose requests still wait for this batch, by index."""
    state = schema.request_states.c
    query = (
        _select_items()
        .add_columns(state.batch_index)
        .where(state.batch_id == batch.id, state.status == "batched", state.batch_index.in_(list(indexes)))
    )
    with context.ledger.read() as connection:
        return {index: _Item(*item) for *item, index in connection.execute(query)}


def _latecomers(context: Context, batch: BatchRow, indexes: Collection[int]) -> dict[int, _Item]:
    """Those of the items that nothing was ever recorded for, because their requests ended without this batch."""
    if not indexes:
        return {}
    batch_id = UUID(batch.id)
    wanted = {batched_event_id(batch_id, index).bytes: index for index in indexes}
    recorded = {
        derive(batch_id, index, name).bytes: index for index in wanted.values() for name in ("outcome", "usage")
    }
    event = schema.events.c
    with context.ledger.read() as connection:
        known = connection.scalars(select(event.event_id).where(event.event_id.in_(list(recorded)))).all()
        settled = {recorded[event_id] for event_id in known}
        places = select(event.event_id, event.stream_id).where(event.event_id.in_(list(wanted)))
        ids = {
            stream.partition("/")[2]: wanted[event_id]
            for event_id, stream in connection.execute(places).all()
            if wanted[event_id] not in settled
        }
        rows = connection.execute(_select_items().where(schema.requests.c.id.in_(list(ids)))).all()
    return {ids[row.id]: _Item(*row) for row in rows}


def _outcome(
    batch: BatchRow, item: _Item, index: int, result: ItemResult, bodies: list[EncodedPayload]
) -> list[tuple[str, EventData]]:
    """What one line means for its request: (name for the derived id, event) in order."""
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


def _success(
    batch: BatchRow, item: _Item, index: int, result: ItemResult, body: EncodedPayload
) -> list[tuple[str, EventData]]:
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
    events: list[tuple[str, EventData]] = [] if late else [("outcome", succeeded)]
    problem = _unreadable(batch, model, result.usage)
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


def _unreadable(batch: BatchRow, model: str, usage: bytes | None) -> str | None:
    """Why the usage cannot be priced, None if it can."""
    if usage is None:
        return "the result carries no usage"
    try:
        normalise_json(provider=batch.provider, model=model, processing="batch", usage=usage)
    except UsageUnreadable as error:
        return f"its usage cannot be read: {error}"
    return None
