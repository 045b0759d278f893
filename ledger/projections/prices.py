"""Prices: under which key and which row of the book usage counts, and what changes when a book is adopted."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime
from functools import lru_cache
from hashlib import sha256
from typing import Final

import msgspec
from sqlalchemy import (
    BigInteger,
    Connection,
    Integer,
    bindparam,
    cast,
    delete,
    func,
    insert,
    literal,
    literal_column,
    select,
    update,
)

from ledger import schema
from ledger.backends.statements import columns
from ledger.clock import from_micros, to_micros
from ledger.events import PriceBookAdopted
from ledger.pricing import PriceBook, PriceKey
from ledger.projections.buckets import DAY, HOUR, QUARTER, TOTAL, bucket
from ledger.projections.rows import Fact
from ledger.projections.working_set import WorkingSet

__all__ = ["UNPRICED", "PriceKeys", "adopt", "price_key_id", "stored_book"]

_MICROS: Final = 1_000_000
_KEYS: Final = f"SELECT {columns(schema.price_keys)} FROM price_keys WHERE id {{among}}"  # noqa: S608

UNPRICED: Final = -1
"""What stands for an epoch where no row of the book prices the usage."""


@lru_cache(maxsize=4096)
def price_key_id(key: PriceKey) -> int:
    """A stable 63-bit id: the same on every machine, in every rebuild."""
    return int.from_bytes(sha256(msgspec.json.encode(msgspec.structs.astuple(key))).digest()[:8]) >> 1


_parsed: Final[dict[str, PriceBook]] = {}
"""Books met by this process, by digest: there are few, and reading one takes longer than asking which it is."""


_LAST: Final = (1 << 63) - 1
_BOOK: Final = schema.price_books.c
_IN_FORCE: Final = (
    select(_BOOK.digest, _BOOK.position)
    .where(_BOOK.provider == bindparam("of"), _BOOK.position <= bindparam("as_of"))
    .order_by(_BOOK.position.desc())
    .limit(literal_column("1"))  # written out: SQLite plans a statement anew for every bound limit
)


def stored_book(connection: Connection, provider: str, *, as_of: int | None = None) -> PriceBook | None:
    """The book in force for a provider, at a log position if one is given. None before the first adoption."""
    place = {"of": provider, "as_of": as_of if as_of is not None else _LAST}
    row = connection.execute(_IN_FORCE, place).first()
    if row is None:
        return None
    if row.digest not in _parsed:
        text = connection.execute(select(_BOOK.book).where(_BOOK.position == row.position)).scalar_one()
        _parsed[row.digest] = PriceBook.from_canonical(text)
    return _parsed[row.digest]


class PriceKeys:
    """The price keys that one chunk's usage falls under."""

    def __init__(self, rows: WorkingSet) -> None:
        self._rows = rows
        self._books: dict[str, PriceBook | None] = {}
        self._touched: dict[int, PriceKey] = {}
        self._placed: dict[tuple[PriceKey, int], tuple[int, int]] = {}

    def load(self, providers: Iterable[str]) -> None:
        """Read the books in force for these providers."""
        self._books = {provider: stored_book(self._rows.connection, provider) for provider in providers}

    def place(self, key: PriceKey, at: datetime, micros: int) -> tuple[int, int]:
        """(price key id, epoch) of usage billed at that instant; the epoch is `UNPRICED` where no row prices it.

        `micros` is the same instant in microseconds. Prices change at the start of a quarter hour, if they do.
        """
        quarter = (key, bucket(micros))
        placed = self._placed.get(quarter)
        if placed is None:
            identity = price_key_id(key)
            self._touched.setdefault(identity, key)
            placed = self._placed[quarter] = (identity, self._epoch(key, at))
        return placed

    def epochs(self, places: Iterable[tuple[int, int]]) -> dict[tuple[int, int], int]:
        """The epoch for each (price key id, billed_at), of keys that were met in earlier chunks too."""
        wanted = list(places)
        keys = dict(self._touched)
        missing = {identity for identity, _ in wanted} - keys.keys()
        for identity, *fields in self._rows.database.fetch(self._rows.connection, _KEYS, list(missing)):
            keys[identity] = PriceKey(*fields)
        return {(identity, at): self._epoch(keys[identity], from_micros(at)) for identity, at in wanted}

    def _epoch(self, key: PriceKey, at: datetime) -> int:
        if key.provider not in self._books:  # only of keys met in earlier chunks, while writing
            self._books[key.provider] = stored_book(self._rows.connection, key.provider)
        book = self._books[key.provider]
        return _stored(book.epoch(key, at) if book is not None else None)

    def flush(self) -> None:
        """Write the keys met."""
        values = [(identity, *msgspec.structs.astuple(key)) for identity, key in self._touched.items()]
        self._rows.database.insert_missing(self._rows.connection, schema.price_keys, values)


def _stored(epoch: datetime | None) -> int:
    return to_micros(epoch) if epoch is not None else UNPRICED


def adopt(rows: WorkingSet, fact: Fact, data: PriceBookAdopted) -> None:
    """Put a book in force: counts that it prices otherwise move to its rows, and no event is read.

    Expects everything folded so far to be written.
    """
    text = bytes(data.book).decode()
    rows.database.insert(rows.connection, schema.price_books, [(fact.entity, fact.position, data.digest, text)])
    moves = _moves(rows.connection, fact.entity, PriceBook.from_canonical(text))
    for move in moves:
        _apply(rows.connection, move)
    affected = sorted({move.key for move in moves})
    for grain in (HOUR, DAY, TOTAL) if affected else ():
        _sum_up(rows.connection, grain, affected)


class _Move(msgspec.Struct):
    """Counts of one price key in the buckets [start, end), in seconds, go from one epoch to another."""

    key: int
    old: int
    new: int
    start: int
    end: int


def _moves(connection: Connection, provider: str, book: PriceBook) -> list[_Move]:
    """What changes its epoch under the book; adjoining buckets are joined."""
    usage, price = schema.usage_rollups.c, schema.price_keys.c
    query = (
        select(*price, usage.epoch, usage.bucket)
        .distinct()
        .join_from(schema.usage_rollups, schema.price_keys, usage.price_key == price.id)
        .where(usage.grain == QUARTER, usage.tag == "", price.provider == provider)
        .order_by(price.id, usage.epoch, usage.bucket)
    )
    moves: list[_Move] = []
    for key_id, *fields, old, start in connection.execute(query).all():
        new = _stored(book.epoch(PriceKey(*fields), from_micros(start * _MICROS)))
        last = moves[-1] if moves else None
        if last is not None and (last.key, last.old, last.new) == (key_id, old, new):
            last.end = start + QUARTER
        else:
            moves.append(_Move(key_id, old, new, start, start + QUARTER))
    return [move for move in moves if move.old != move.new]


def _apply(connection: Connection, move: _Move) -> None:
    column = schema.usage_rollups.c
    connection.execute(
        update(schema.usage_rollups)
        .where(
            column.grain == QUARTER,
            column.price_key == move.key,
            column.epoch == move.old,
            column.bucket >= move.start,
            column.bucket < move.end,
        )
        .values(epoch=move.new)
    )


def _sum_up(connection: Connection, grain: int, price_keys: list[int]) -> None:
    """Make a coarser grain's rows anew from the quarter hours."""
    rollup = schema.usage_rollups
    column = rollup.c
    keys = ("tag", "grain", "bucket", "value", "price_key", "epoch", "role")
    measures = [c for c in column if c.name not in keys]
    connection.execute(delete(rollup).where(column.grain == grain, column.price_key.in_(price_keys)))
    start = column.bucket - column.bucket % grain if grain else literal(0, BigInteger)
    groups = (column.tag, start, column.value, column.price_key, column.epoch, column.role)
    sums = select(
        column.tag,
        literal(grain, Integer),
        start,
        column.value,
        column.price_key,
        column.epoch,
        column.role,
        *(cast(func.sum(c), BigInteger) for c in measures),
    )
    connection.execute(
        insert(rollup).from_select(
            [*keys, *(c.name for c in measures)],
            sums.where(column.grain == QUARTER, column.price_key.in_(price_keys)).group_by(*groups),
        )
    )
