"""Step: waiting requests become a batch, as soon as the policy says so.

A batch is homogeneous in what the provider takes as headers of the whole POST: provider, API version, betas.
Models mix freely.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any
from uuid import UUID

import msgspec
from sqlalchemy import Select, func, or_, select

from ledger import NewEvent, schema
from ledger.clock import to_micros
from ledger.errors import VersionConflict
from ledger.events import BatchPlanned, RequestBatched, batch_stream, request_stream
from ledger.ids import derive
from ledger.projections import RequestRow, select_requests
from scheduler.context import Context
from scheduler.machine import FAR
from scheduler.policy import Policy, Waiting, batch_due
from scheduler.wire import ITEM_OVERHEAD

__all__ = ["accumulate", "batched_event_id", "plan_events"]

Group = tuple[str, str, str]


def accumulate(context: Context) -> int:
    """Plan one batch of each group that is due. Returns how many requests were batched; more may be due.

    A batch and its requests are planned in one append: all of it is on record, or none. If another worker took
    one of them first, nothing is planned, and the next call sees what is left.
    """
    batched = 0
    policy = context.policy()
    for group, waiting in _groups(context):
        reason = batch_due(waiting, policy)
        if reason is None:
            continue
        rows = _take(context, group, policy)
        if not rows:
            continue  # another worker took them since
        try:
            context.ledger.append(plan_events(context, rows, reason=reason, policy=policy))
        except VersionConflict:
            continue
        batched += len(rows)
    return batched


def plan_events(
    context: Context, rows: Sequence[RequestRow], *, reason: str, policy: Policy, parent: str | None = None
) -> list[NewEvent]:
    """The events that make one batch of these requests, in this order."""
    first = rows[0]
    batch_id = context.ledger.ids.new()
    now = context.now()
    planned = BatchPlanned(
        provider=first.provider,
        api_version=first.api_version,
        betas=tuple(first.betas.split(",")) if first.betas else (),
        request_count=len(rows),
        size=sum(row.size for row in rows),
        reason=reason,
        policy=msgspec.Raw(msgspec.json.encode(policy)),
        parent=parent,
    )
    events = [NewEvent(batch_stream(str(batch_id)), 1, planned, context.ledger.ids.new(), now, batch_id)]
    # A split batch's requests were not refused for what they are: only a real attempt counts as one.
    tried = 0 if parent is not None else 1
    for index, row in enumerate(rows):
        data = RequestBatched(batch_id=str(batch_id), index=index, attempt=row.attempts + tried)
        event_id = batched_event_id(batch_id, index)
        events.append(NewEvent(request_stream(row.id), row.version + 1, data, event_id, now, UUID(row.id), batch_id))
    return events


def batched_event_id(batch_id: UUID, index: int) -> UUID:
    """Id of the event that made a request item `index` of a batch: who knows the place can find the request."""
    return derive(batch_id, index, "batched")


def _groups(context: Context) -> Iterator[tuple[Group, Waiting]]:
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
        yield (provider, version, betas), Waiting(count, int(size) + count * ITEM_OVERHEAD, age)


def _take(context: Context, group: Group, policy: Policy) -> list[RequestRow]:
    """The oldest waiting requests of a group, as many as fit into one batch (one at least)."""
    column, limits = schema.requests.c, context.provider.limits
    most, room = min(policy.max_requests, limits.max_items), min(policy.max_bytes, limits.max_bytes)
    query = _due(select_requests(), to_micros(context.now())).where(
        column.provider == group[0], column.api_version == group[1], column.betas == group[2]
    )
    rows: list[RequestRow] = []
    with context.ledger.read() as connection:
        for stored in connection.execute(query.order_by(column.seq).limit(most)):
            row = RequestRow(*stored)
            room -= row.size + ITEM_OVERHEAD
            if room < 0 and rows:
                break
            rows.append(row)
    return rows


def _due(query: Select[*tuple[Any, ...]], now: int) -> Select[*tuple[Any, ...]]:
    column = schema.request_states.c
    due = or_(column.due_at.is_(None), column.due_at <= now, column.due_at > now + FAR)
    return query.where(column.status == "queued", due)
