"""Price rows: under which row of which book usage counts, and what changes when a new book is adopted."""

from __future__ import annotations

from datetime import datetime
from functools import lru_cache
from hashlib import sha256
from typing import Final

import msgspec
from sqlalchemy import BigInteger, Connection, Integer, cast, delete, func, insert, literal, select, update

from ledger import schema
from ledger.clock import from_micros, to_micros
from ledger.events import PriceBookAdopted
from ledger.pricing import PriceBook, PriceKey
from ledger.projections.buckets import DAY, HOUR, QUARTER, TOTAL
from ledger.projections.rows import Fact
from ledger.projections.working_set import WorkingSet

__all__ = ["PriceRows", "adopt", "price_row_id", "stored_book"]

_MICROS: Final = 1_000_000


def price_row_id(key: PriceKey, epoch: datetime | None) -> int:
    """A stable 63-bit id: the same on every machine, in every rebuild."""
    return _row_id(key, to_micros(epoch) if epoch is not None else None)


@lru_cache(maxsize=4096)
def _row_id(key: PriceKey, epoch: int | None) -> int:
    text = msgspec.json.encode((msgspec.structs.astuple(key), epoch))
    return int.from_bytes(sha256(text).digest()[:8]) >> 1


@lru_cache(maxsize=8)
def _parsed(digest: str, book: str) -> PriceBook:
    return PriceBook.from_canonical(book)


def stored_book(connection: Connection, provider: str, *, as_of: int | None = None) -> PriceBook | None:
    """The book in force for a provider, at a log position if one is given. None before the first adoption."""
    table = schema.price_books.c
    query = select(table.digest, table.book).where(table.provider == provider)
    if as_of is not None:
        query = query.where(table.position <= as_of)
    row = connection.execute(query.order_by(table.position.desc()).limit(1)).first()
    return _parsed(row.digest, row.book) if row else None


class PriceRows:
    """The price rows that one chunk's usage falls under."""

    def __init__(self, rows: WorkingSet) -> None:
        self._rows = rows
        self._books: dict[str, PriceBook | None] = {}
        self._touched: dict[int, tuple[PriceKey, int | None]] = {}

    def row(self, key: PriceKey, at: datetime) -> int:
        """The price row's id for usage under `key` billed at that instant."""
        if key.provider not in self._books:
            self._books[key.provider] = stored_book(self._rows.connection, key.provider)
        book = self._books[key.provider]
        epoch = book.epoch(key, at) if book is not None else None
        identity = price_row_id(key, epoch)
        if identity not in self._touched:
            self._touched[identity] = (key, to_micros(epoch) if epoch is not None else None)
        return identity

    def flush(self) -> None:
        """Write the rows met."""
        _write_rows(self._rows, self._touched)
        self._touched = {}
        self._books = {}


def _write_rows(rows: WorkingSet, touched: dict[int, tuple[PriceKey, int | None]]) -> None:
    values = [(i, *msgspec.structs.astuple(key), epoch) for i, (key, epoch) in touched.items()]
    rows.database.insert_missing(rows.connection, schema.price_rows, values)


def adopt(rows: WorkingSet, fact: Fact, data: PriceBookAdopted) -> None:
    """Put a book in force: usage that it prices otherwise moves to its price rows, no event is read.

    Expects everything folded so far to be written.
    """
    text = bytes(data.book).decode()
    rows.database.insert(rows.connection, schema.price_books, [(fact.entity, fact.position, data.digest, text)])
    moves = _moves(rows, fact.entity, _parsed(data.digest, text))
    for old, new, start, end in moves:
        _move(rows.connection, old, new, start, end)
    affected = sorted({row for old, new, _, _ in moves for row in (old, new)})
    for grain in (HOUR, DAY, TOTAL) if affected else ():
        _sum_up(rows.connection, grain, affected)


def _moves(rows: WorkingSet, provider: str, book: PriceBook) -> list[tuple[int, int, int, int]]:
    """(old price row, new price row, first bucket, end of the last bucket), in seconds; adjoining ones joined."""
    usage, price = schema.usage_rollups.c, schema.price_rows.c
    query = (
        select(*price, usage.bucket)
        .distinct()
        .join_from(schema.usage_rollups, schema.price_rows, usage.price_row == price.id)
        .where(usage.grain == QUARTER, usage.tag == "", price.provider == provider)
        .order_by(price.id, usage.bucket)
    )
    moves: list[tuple[int, int, int, int]] = []
    touched: dict[int, tuple[PriceKey, int | None]] = {}
    for old, *fields, _epoch, start in rows.connection.execute(query).all():
        key = PriceKey(*fields)
        epoch = book.epoch(key, from_micros(start * _MICROS))
        new = price_row_id(key, epoch)
        if moves and moves[-1][:2] == (old, new):
            moves[-1] = (old, new, moves[-1][2], start + QUARTER)
        else:
            moves.append((old, new, start, start + QUARTER))
            touched[new] = (key, to_micros(epoch) if epoch is not None else None)
    _write_rows(rows, touched)
    return [move for move in moves if move[0] != move[1]]


def _move(connection: Connection, old: int, new: int, start: int, end: int) -> None:
    rollup = schema.usage_rollups
    connection.execute(
        update(rollup)
        .where(
            rollup.c.grain == QUARTER,
            rollup.c.price_row == old,
            rollup.c.bucket >= start,
            rollup.c.bucket < end,
        )
        .values(price_row=new)
    )
    for table in (schema.usage_items, schema.unread_writes):
        connection.execute(
            update(table)
            .where(
                table.c.price_row == old,
                table.c.billed_at >= start * _MICROS,
                table.c.billed_at < end * _MICROS,
            )
            .values(price_row=new)
        )


def _sum_up(connection: Connection, grain: int, price_rows: list[int]) -> None:
    """Make a coarser grain's rows anew from the quarter hours."""
    rollup = schema.usage_rollups
    column = rollup.c
    keys = {"tag", "grain", "bucket", "value", "price_row", "role"}
    measures = [c for c in column if c.name not in keys]
    connection.execute(delete(rollup).where(column.grain == grain, column.price_row.in_(price_rows)))
    start = column.bucket - column.bucket % grain if grain else literal(0, BigInteger)
    connection.execute(
        insert(rollup).from_select(
            ["tag", "grain", "bucket", "value", "price_row", "role", *(c.name for c in measures)],
            select(
                column.tag,
                literal(grain, Integer),
                start,
                column.value,
                column.price_row,
                column.role,
                *(cast(func.sum(c), BigInteger) for c in measures),
            )
            .where(column.grain == QUARTER, column.price_row.in_(price_rows))
            .group_by(column.tag, start, column.value, column.price_row, column.role),
        )
    )
