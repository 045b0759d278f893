"""Step: waiting requests become a batch, as soon as the policy says so.

A batch is homogeneous in what the provider takes as headers of the whole POST: provider, API version, betas.
Models mix freely.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any, Final, NamedTuple
from uuid import UUID

import msgspec
from sqlalchemy import Integer, Select, bindparam, func, literal_column, or_, select

from ledger import Ledger, NewEvent, schema
from ledger.clock import to_micros
from ledger.errors import VersionConflict
from ledger.events import BatchPlanned, RequestBatched, batch_stream, request_stream
from ledger.ids import derive
from ledger.projections import BatchRow, RequestRow
from ledger.queries import requests
from scheduler.context import Context
from scheduler.machine import FAR
from scheduler.policy import Policy, Waiting, batch_due
from scheduler.wire import ITEM_OVERHEAD

__all__ = ["Candidate", "Headers", "accumulate", "batched_event_id", "items_of", "plan_again", "plan_events"]


class Headers(NamedTuple):
    """What the provider takes as headers of the whole POST. `betas` sorted, joined by commas."""

    provider: str
    api_version: str
    betas: str


_REQUEST: Final = schema.requests.c
_STATE: Final = schema.request_states.c


def _due(*columns: Any) -> Select[*tuple[Any, ...]]:
    """These columns of requests that wait to be batched, and whose time has come."""
    due = or_(_STATE.due_at.is_(None), _STATE.due_at <= bindparam("now"), _STATE.due_at > bindparam("far"))
    query = select(*columns).join_from(schema.request_states, schema.requests, _STATE.seq == _REQUEST.seq)
    # Written out: a database recognises the condition of a partial index only if it reads the value.
    return query.where(_STATE.status == literal_column("'queued'"), due, _REQUEST.provider == bindparam("provider"))


_HEADERS: Final = (_REQUEST.provider, _REQUEST.api_version, _REQUEST.betas)
_FIGURES: Final = (
    func.count(),
    func.sum(_REQUEST.size),
    func.min(func.coalesce(_STATE.due_at, _REQUEST.recorded_at)),
)
_GROUPS: Final = _due(*_HEADERS, *_FIGURES).group_by(*_HEADERS)
_OF_KEYS: Final = _REQUEST.key.in_(bindparam("keys", expanding=True))
_GROUPS_OF_KEYS: Final = _GROUPS.where(_OF_KEYS)
_CANDIDATES: Final = (
    _due(_REQUEST.id, _STATE.version, _STATE.attempts, _REQUEST.size)
    .where(_REQUEST.api_version == bindparam("api_version"), _REQUEST.betas == bindparam("betas"))
    .order_by(_STATE.seq)
    # Written out, too: SQLite plans a statement anew for every bound limit.
    .limit(bindparam("most", type_=Integer, literal_execute=True))
)
_CANDIDATES_OF_KEYS: Final = _CANDIDATES.where(_OF_KEYS)


class Candidate(NamedTuple):
    """What has to be known of a request to batch it; no more, since a batch has up to 100,000."""

    id: str
    version: int
    attempts: int
    size: int


def accumulate(context: Context) -> int:
    """Plan one batch of each group that is due. Returns how many requests were batched; more may be due.

    A batch and its requests are planned in one append: all of it is on record, or none. If another worker took
    one of them first, nothing is planned, and the next call sees what is left.
    """
    batched = 0
    policy = context.policy()
    for headers, waiting in _groups(context):
        reason = batch_due(waiting, policy)
        if reason is None:
            continue
        taken = _take(context, headers, policy)
        if not taken:
            continue  # another worker took them since
        try:
            context.ledger.append(plan_events(context, headers, taken, reason=reason, policy=policy))
        except VersionConflict:
            continue
        batched += len(taken)
    return batched


def plan_events(
    context: Context,
    headers: Headers,
    requests: Sequence[Candidate],
    *,
    reason: str,
    policy: Policy,
    parent: str | None = None,
) -> Iterator[NewEvent]:
    """The events that make one batch of these requests, in this order; one by one, for there may be many."""
    batch_id = context.ledger.ids.new()
    now = context.now()
    planned = BatchPlanned(
        provider=headers.provider,
        api_version=headers.api_version,
        betas=tuple(headers.betas.split(",")) if headers.betas else (),
        request_count=len(requests),
        size=sum(request.size for request in requests),
        reason=reason,
        policy=msgspec.Raw(msgspec.json.encode(policy)),
        parent=parent,
    )
    name = str(batch_id)
    yield NewEvent(batch_stream(name), 1, planned, context.ledger.ids.new(), now, batch_id)
    # A split batch's requests were not refused for what they are: only a real attempt counts as one.
    tried = 0 if parent is not None else 1
    for index, (request_id, version, attempts, _) in enumerate(requests):
        data = RequestBatched(batch_id=name, index=index, attempt=attempts + tried)
        event_id, correlation = batched_event_id(batch_id, index), UUID(request_id)
        yield NewEvent(request_stream(request_id), version + 1, data, event_id, now, correlation, batch_id)


def items_of(ledger: Ledger, batch: BatchRow) -> list[RequestRow]:
    """The requests that wait for the batch, in its order."""
    rows = requests(ledger, batch_id=batch.id, statuses=("batched",))
    return sorted(rows, key=lambda row: row.batch_index or 0)


def plan_again(context: Context, batch: BatchRow, rows: Sequence[RequestRow], reason: str) -> Iterator[NewEvent]:
    """The events that make a batch of some items of one that comes to nothing."""
    headers = Headers(batch.provider, batch.api_version, batch.betas)
    items = [Candidate(row.id, row.version, row.attempts, row.size) for row in rows]
    return plan_events(context, headers, items, reason=reason, policy=context.policy(), parent=batch.id)


def batched_event_id(batch_id: UUID, index: int) -> UUID:
    """Id of the event that made a request item `index` of a batch: who knows the place can find the request."""
    return derive(batch_id, index, "batched")


def _groups(context: Context) -> Iterator[tuple[Headers, Waiting]]:
    now = to_micros(context.now())
    place: dict[str, Any] = {"now": now, "far": now + FAR, "provider": context.provider.name}
    query = _GROUPS
    if context.keys is not None:
        query, place["keys"] = _GROUPS_OF_KEYS, list(context.keys())
    with context.ledger.read() as connection:
        rows = connection.execute(query, place).all()
    for provider, version, betas, count, size, oldest in rows:
        age = abs(now - oldest) / 1_000_000  # ahead of now: the clock was set back, and time has passed
        yield Headers(provider, version, betas), Waiting(count, int(size) + count * ITEM_OVERHEAD, age)


def _take(context: Context, headers: Headers, policy: Policy) -> list[Candidate]:
    """The oldest waiting requests of a group, as many as fit into one batch (one at least)."""
    limits, now = context.provider.limits, to_micros(context.now())
    most, room = min(policy.max_requests, limits.max_items), min(policy.max_bytes, limits.max_bytes)
    place: dict[str, Any] = {"now": now, "far": now + FAR, "most": most, **headers._asdict()}
    query = _CANDIDATES
    if context.keys is not None:
        query, place["keys"] = _CANDIDATES_OF_KEYS, list(context.keys())
    taken: list[Candidate] = []
    with context.ledger.read() as connection:
        for row in connection.execute(query, place):
            candidate = Candidate(*row)
            room -= candidate.size + ITEM_OVERHEAD
            if room < 0 and taken:
                break
            taken.append(candidate)
    return taken
