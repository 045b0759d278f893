"""A planned batch that some of its requests leave: it comes to nothing, and the others are planned anew.

What is answered already is not sent again. Only once a batch is about to be sent nothing leaves it any more, for its
items may be on their way: an answer that comes from elsewhere at that moment is put off until that is decided.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping
from typing import Final

from ledger import NewEvent
from ledger.events import BatchFailed
from ledger.projections import BatchRow
from ledger.queries import batch as read_batch
from scheduler.accumulator import items_of, plan_again
from scheduler.context import Context, batch_event
from scheduler.items import Item

__all__ = ["planned_without", "withdrawal"]

_ON_THE_WAY: Final = frozenset({"submitting", "uncertain"})


def planned_without(context: Context, batch: BatchRow, leaving: Collection[str], reason: str) -> Iterator[NewEvent]:
    """The events that take requests (by id) out of a batch that is `planned`; the others keep their order.

    To be appended with what happens to those that leave. A worker that begins to send the batch at the same moment
    and this append exclude each other.
    """
    yield batch_event(context, batch, BatchFailed(reason=f"{reason}; its other requests are planned anew"))
    others = [row for row in items_of(context.ledger, batch) if row.id not in leaving]
    if others:
        yield from plan_again(context, batch, others, "left")


def withdrawal(context: Context, batch: BatchRow, answered: Mapping[int, Item]) -> tuple[list[NewEvent], set[int]]:
    """What to append where `batch` has answers to requests that wait in other batches by now.

    Returns the events that take them out of batches that are only planned, and the indexes to be put off.
    """
    waiting: dict[str, dict[int, Item]] = {}
    for index, item in answered.items():
        if item.status == "batched" and item.batch_id is not None and item.batch_id != batch.id:
            waiting.setdefault(item.batch_id, {})[index] = item
    events: list[NewEvent] = []
    put_off: set[int] = set()
    for batch_id, items in waiting.items():
        other = read_batch(context.ledger, batch_id)
        if other.status == "planned":
            ids = {item.id for item in items.values()}
            events += planned_without(context, other, ids, f"the provider answered a part of it in {batch.id}")
        elif other.status in _ON_THE_WAY:
            put_off.update(items)
    return events, put_off
