"""Step: waiting requests become a batch, as soon as the policy says so.

A batch is homogeneous in what the provider takes as headers of the whole POST: provider, API version, betas.
Models mix freely.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any, NamedTuple
from uuid import UUID

import msgspec
from sqlalchemy import Select, func, or_, select

from ledger import NewEvent, schema
from ledger.clock import to_micros
from ledger.errors import VersionConflict
from ledger.events import BatchPlanned, RequestBatched, batch_stream, request_stream
from ledger.ids import derive
from scheduler.context import Context
from scheduler.machine import FAR
from scheduler.policy import Policy, Waiting, batch_due
from scheduler.wire import ITEM_OVERHEAD

__all__ = ["Candidate", "Headers", "accumulate", "batched_event_id", "plan_events"]


class Headers(NamedTuple):
    """What the provider takes as headers of the whole POST. `betas` sorted, joined by commas."""

    provider: str
    api_version: str
    betas: str


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


def batched_event_id(batch_id: UUID, index: int) -> UUID:
    """Id of the event that made a request item `index` of a batch: who knows the place can find the request."""
    return derive(batch_id, index, "batched")


def _groups(context: Context) -> Iterator[tuple[Headers, Waiting]]:
    column, state = schema.requests.c, schema.request_states
    now = context.now()
    waited_from = func.min(func.coalesce(state.c.due_at, column.recorded_at))
    headers = (column.provider, column.api_version, column.betas)
    figures = select(*headers, func.count(), func.sum(column.size), waited_from)
    query = _due(figures.join_from(state, schema.requests, state.c.seq == column.seq), to_micros(now))
    query = query.where(column.provider == context.provider.name).group_by(*headers)
    with context.ledger.read() as connection:
        rows = connection.execute(query).all()
    for provider, version, betas, count, size, oldest in rows:
        age = abs(to_micros(now) - oldest) / 1_000_000  # ahead of now: the clock was set back, and time has passed
        yield Headers(provider, version, betas), Waiting(count, int(size) + count * ITEM_OVERHEAD, age)


def _take(context: Context, headers: Headers, policy: Policy) -> list[Candidate]:
    """The oldest waiting requests of a group, as many as fit into one batch (one at least)."""
    column, state, limits = schema.requests.c, schema.request_states, context.provider.limits
    most, room = min(policy.max_requests, limits.max_items), min(policy.max_bytes, limits.max_bytes)
    candidates = select(column.id, state.c.version, state.c.attempts, column.size)
    query = _due(candidates.join_from(state, schema.requests, state.c.seq == column.seq), to_micros(context.now()))
    query = query.where(
        column.provider == headers.provider, column.api_version == headers.api_version, column.betas == headers.betas
    )
    taken: list[Candidate] = []
    with context.ledger.read() as connection:
        for row in connection.execute(query.order_by(state.c.seq).limit(most)):
            candidate = Candidate(*row)
            room -= candidate.size + ITEM_OVERHEAD
            if room < 0 and taken:
                break
            taken.append(candidate)
    return taken


def _due(query: Select[*tuple[Any, ...]], now: int) -> Select[*tuple[Any, ...]]:
    column = schema.request_states.c
    due = or_(column.due_at.is_(None), column.due_at <= now, column.due_at > now + FAR)
    return query.where(column.status == "queued", due)
