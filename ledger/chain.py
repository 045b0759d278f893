"""The log checked against itself: every position, hash and version, and the head that says where it ends.

SQLite keeps any value in any column, and somebody who edits the file can put one there that no append would write.
Such values are found like every other contradiction; they never stop the check.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from typing import Any, Final

import msgspec
from sqlalchemy import Connection, Row, func, select

from ledger import schema
from ledger.codec import GENESIS, body_hash, chain_hash
from ledger.replay import Progress
from ledger.store import CHUNK

__all__ = ["Chain", "broken_versions", "check_chain", "leniently"]

_NAMED: Final = 10
"""Streams named of those whose versions have a gap."""

_text: Final = partial(str, encoding="utf-8", errors="surrogateescape")


class Chain(msgspec.Struct, frozen=True):
    """Where the log ends (0 if it is empty), the hash of its last event, and what is wrong with it."""

    position: int
    tip: bytes
    problems: list[str]


@contextmanager
def leniently(connection: Connection) -> Iterator[None]:
    """Text that is not UTF-8 is read for the time, as text that no event can hold, instead of stopping the reader."""
    driver: Any = connection.connection.driver_connection
    if connection.dialect.name != "sqlite":
        yield
        return
    strict, driver.text_factory = driver.text_factory, _text
    try:
        yield
    finally:
        driver.text_factory = strict


def check_chain(connection: Connection, progress: Progress) -> Chain:
    """Walk the whole log, from its first event to the head. One line per contradiction."""
    problems: list[str] = []
    previous, expected = GENESIS, 1
    heads = [tuple(row) for row in connection.execute(select(schema.ledger_head))]
    total = int(heads[0][1]) if heads else 0
    query = select(schema.events).order_by(schema.events.c.position).execution_options(yield_per=CHUNK)
    for row in connection.execute(query):
        position = row.position if isinstance(row.position, int) else expected
        if position != expected:
            problems.append(f"event {expected} is missing (the next one is {position})")
        problems += _contradictions(row, previous)
        previous, expected = row.hash, position + 1
        if position % CHUNK == 0:
            progress(position, total)
    last, tip = expected - 1, previous if isinstance(previous, bytes) else b""
    return Chain(last, tip, [*problems, *_check_heads(heads, last, tip)])


def _contradictions(row: Row[Any], previous: bytes) -> Iterator[str]:
    values: tuple[Any, ...] = tuple(row)
    columns: Any = values[:-3]
    data, body, tip = values[-3:]
    kind, schema_version, correlation, causation = columns[4], columns[5], columns[8], columns[9]
    never = f"event {columns[0]}: it holds a value that was never appended"
    # To the hash nothing, zero and an empty id are the same.
    if (correlation is not None and not _is_id(correlation)) or (causation is not None and not _is_id(causation)):
        yield never
    try:
        if body_hash(kind, schema_version, data.encode()) != body:
            yield f"event {columns[0]}: its body was altered"
        if chain_hash(previous, columns, body) != tip:
            yield f"event {columns[0]}: it does not follow from the event before it"
    except (AttributeError, OverflowError, TypeError, UnicodeEncodeError, struct.error):
        yield never


def _is_id(value: Any) -> bool:
    return isinstance(value, bytes) and value != b""


def _check_heads(heads: list[tuple[Any, ...]], last: int, tip: bytes) -> Iterator[str]:
    if not heads:
        yield "the head of the log is missing"
    elif len(heads) > 1:
        yield f"the log has {len(heads)} heads"
    elif heads[0][1] != last:
        yield f"the log ends at event {last}, the head says {heads[0][1]}"
    elif heads[0][2] != tip:
        yield f"the log ends at event {last}, and not with the hash that the head says"


def broken_versions(connection: Connection) -> list[str]:
    """Streams whose versions are not 1, 2, 3 …: one line each, of the first few."""
    column = schema.events.c
    query = (
        select(column.stream_id)
        .group_by(column.stream_id)
        .having((func.count() != func.max(column.version)) | (func.min(column.version) != 1))
        .limit(_NAMED)
    )
    return [f"stream {ascii(stream)[1:-1]}: its versions have a gap" for stream in connection.scalars(query)]
