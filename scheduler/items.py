"""The items of a batch, found by their index: whose they are, and which of them are on record.

The ids of everything that is recorded of an item follow from the batch and the index. So whoever reads the same
results again, in another order or after a crash, knows what is there already. A twin's items are those of the batch
it is a twin of; what is recorded of them is its own.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Mapping, Sequence, Set
from datetime import datetime
from typing import Final, NamedTuple
from uuid import UUID

from sqlalchemy import bindparam, literal_column, select

from ledger import NewEvent, schema
from ledger.events import EventData, request_stream
from ledger.ids import derive
from ledger.projections import BatchRow
from scheduler.accumulator import batched_event_id
from scheduler.context import Context

__all__ = ["Item", "Outcome", "item_events", "items", "unrecorded"]

Outcome = tuple[str, EventData]
"""What happened to an item: the name that its event's id is derived from (one of `_NAMES`), and the event."""

_NAMES: Final = ("outcome", "usage", "cost")
_LOOKUP: Final = 5000

_REQUEST: Final = schema.requests.c
_STATE: Final = schema.request_states.c
_EVENT: Final = schema.events.c
_AMONG: Final = _EVENT.event_id.in_(bindparam("ids", expanding=True))
_KNOWN: Final = select(_EVENT.event_id).where(_AMONG)
_PLACES: Final = select(_EVENT.event_id, _EVENT.stream_id).where(_AMONG)
_ITEMS: Final = select(
    _REQUEST.id, _STATE.version, _STATE.status, _STATE.attempts, _REQUEST.model, _STATE.batch_id
).join_from(schema.request_states, schema.requests, _STATE.seq == _REQUEST.seq)
_NAMED: Final = _ITEMS.where(_REQUEST.id.in_(bindparam("ids", expanding=True)))
_WAITING: Final = _ITEMS.add_columns(_STATE.batch_index).where(
    _STATE.batch_id == bindparam("batch"),
    _STATE.status == literal_column("'batched'"),  # as a partial index has it
    _STATE.batch_index.in_(bindparam("indexes", expanding=True)),
)


class Item(NamedTuple):
    """What has to be known of a request to record its outcome; no more, since there are many."""

    id: str
    version: int
    status: str
    attempts: int
    model: str
    batch_id: str | None


def items(context: Context, batch: BatchRow, indexes: Set[int]) -> dict[int, Item]:
    """Those of the items that nothing is recorded of yet, by index."""
    found = _waiting(context, batch, indexes) if batch.twin_of is None else {}
    return found | _elsewhere(context, batch, unrecorded(context, batch, indexes - found.keys()))


def unrecorded(context: Context, batch: BatchRow, indexes: Collection[int]) -> list[int]:
    """Those of the items that no event of this batch speaks of, in order."""
    batch_id, left = UUID(batch.id), sorted(indexes)
    known: set[int] = set()
    for page in _cut(left):
        places = {derive(batch_id, index, name).bytes: index for index in page for name in _NAMES}
        with context.ledger.read() as connection:
            found = connection.scalars(_KNOWN, {"ids": list(places)})
            known.update(places[event_id] for event_id in found)
    return [index for index in left if index not in known]


def item_events(
    batch: BatchRow, found: Mapping[int, Item], outcomes: Callable[[int, Item], Sequence[Outcome]], now: datetime
) -> Iterator[NewEvent]:
    """The events that record what happened to each item, under ids that follow from batch and index."""
    batch_id = UUID(batch.id)
    for index, item in sorted(found.items()):
        stream, request_id = request_stream(item.id), UUID(item.id)
        for version, (name, data) in enumerate(outcomes(index, item), start=item.version + 1):
            yield NewEvent(stream, version, data, derive(batch_id, index, name), now, request_id, batch_id)


def _waiting(context: Context, batch: BatchRow, indexes: Collection[int]) -> dict[int, Item]:
    """Those whose requests still wait for this batch: nothing can be on record of them."""
    place = {"batch": batch.id, "indexes": list(indexes)}
    with context.ledger.read() as connection:
        return {index: Item(*item) for *item, index in connection.execute(_WAITING, place)}


def _elsewhere(context: Context, batch: BatchRow, indexes: Sequence[int]) -> dict[int, Item]:
    """The same for items whose requests have gone on without this batch: known by the event that put them there."""
    origin = UUID(batch.twin_of or batch.id)
    found: dict[int, Item] = {}
    for page in _cut(indexes):
        wanted = {batched_event_id(origin, index).bytes: index for index in page}
        with context.ledger.read() as connection:
            places = connection.execute(_PLACES, {"ids": list(wanted)}).all()
            ids = {stream.partition("/")[2]: wanted[event_id] for event_id, stream in places}
            rows = connection.execute(_NAMED, {"ids": list(ids)}).all()
        found |= {ids[row.id]: Item(*row) for row in rows}
    return found


def _cut(indexes: Sequence[int]) -> Iterator[Sequence[int]]:
    for start in range(0, len(indexes), _LOOKUP):
        yield indexes[start : start + _LOOKUP]
