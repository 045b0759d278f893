"""Which price book a ledger goes by: the one in the package, put on record before anything is priced by it."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import AbstractContextManager
from typing import Final, Protocol

import msgspec
from sqlalchemy import Connection, func, select

from ledger import schema
from ledger.clock import Clock
from ledger.errors import VersionConflict
from ledger.events import NewEvent, PriceBookAdopted, prices_stream
from ledger.ids import IdFactory
from ledger.pricing import PriceBook

__all__ = ["adopt_packaged_prices", "adopt_prices"]

PROVIDER: Final = "anthropic"


class Ledger(Protocol):
    """As much of a ledger as adopting a book takes."""

    clock: Clock
    ids: IdFactory

    def append(self, events: Sequence[NewEvent]) -> list[int]:
        """Append events, all or none."""
        ...

    def read(self) -> AbstractContextManager[Connection]:
        """A consistent view of the tables."""
        ...


def adopt_packaged_prices(ledger: Ledger) -> bool:
    """Adopt the book of this release unless it is in force. True if something changed."""
    return adopt_prices(ledger, PriceBook.packaged())


def adopt_prices(ledger: Ledger, book: PriceBook) -> bool:
    """Put a book in force; what is priced otherwise under it moves. True unless it is on record already.

    A book that was adopted once is not adopted again: two releases that share a ledger would otherwise take
    turns for ever. The newest book stays in force.
    """
    while True:
        stream = prices_stream(PROVIDER)
        with ledger.read() as connection:
            known = connection.scalar(select(func.count()).where(schema.price_books.c.digest == book.digest))
            column = schema.events.c
            version = connection.scalar(select(func.max(column.version)).where(column.stream_id == stream)) or 0
        if known:
            return False
        body = PriceBookAdopted(digest=book.digest, book=msgspec.Raw(book.canonical().encode()))
        event = NewEvent(stream, version + 1, body, ledger.ids.new(), ledger.clock.now())
        try:
            ledger.append([event])
        except VersionConflict:
            continue  # another process adopted a book at the same moment: look again
        return True
