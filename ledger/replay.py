"""The log once more, a portion at a time, as the folds take it."""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

from sqlalchemy import Connection, select

from ledger import schema
from ledger.projections import Fact
from ledger.store import CHUNK, as_fact

__all__ = ["PORTION", "Progress", "facts_after", "head", "silent"]

PORTION: Final = CHUNK
"""Events read and folded at once."""

Progress = Callable[[int, int], None]
"""Called with (events done, events in all)."""


def silent(_done: int, _total: int) -> None:
    """Progress that nobody looks at."""


def head(log: Connection) -> int:
    """Position of the last event, 0 in an empty log."""
    return int(log.scalar(select(schema.ledger_head.c.position)) or 0)


def facts_after(log: Connection, position: int) -> list[Fact]:
    """The next events, at most `PORTION`; none at the end of the log."""
    column = schema.events.c
    query = select(schema.events).where(column.position > position).order_by(column.position).limit(PORTION)
    return [as_fact(row) for row in log.execute(query)]
