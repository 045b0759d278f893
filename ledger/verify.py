"""Proof that the log is what was appended, and that the projections are what the log amounts to."""

from __future__ import annotations

import struct
from collections.abc import Iterator, Sequence
from typing import Any, Final

import msgspec
from sqlalchemy import Connection, Row, func, select

from ledger import schema
from ledger.backends import Database
from ledger.codec import GENESIS, body_hash, chain_hash
from ledger.errors import LedgerError
from ledger.payloads import read_payloads
from ledger.rebuild import Progress, differences
from ledger.store import CHUNK

__all__ = ["Verification", "verify"]

PAGE: Final = 100
"""Bodies read at once."""


class Verification(msgspec.Struct, frozen=True):
    """What was checked, and every contradiction found, one line each."""

    events: int
    head: str
    problems: tuple[str, ...]

    @property
    def sound(self) -> bool:
        """True if nothing contradicts anything."""
        return not self.problems


def verify(
    database: Database, progress: Progress = lambda _done, _total: None, *, bodies: bool = False
) -> Verification:
    """Check every hash, position and version of the log, and refold it beside the projections.

    With `bodies`, also read every stored body: it has to match its hash, and none may be gone that is to be sent.
    The log is not folded where it contradicts itself: what would come of it means nothing.
    """
    with database.read() as connection:
        events, tip, problems = _check_chain(connection, progress)
        problems += _check_versions(connection)
        problems += _check_anchors(connection)
        problems += _check_bodies(connection) if bodies else []
    if not problems:
        problems += differences(database)
    return Verification(events, tip.hex(), tuple(problems))


def _check_chain(connection: Connection, progress: Progress) -> tuple[int, bytes, list[str]]:
    problems: list[str] = []
    previous, expected = GENESIS, 1
    head = connection.execute(select(schema.ledger_head.c.position, schema.ledger_head.c.hash)).first()
    total = head.position if head is not None else 0
    query = select(schema.events).order_by(schema.events.c.position).execution_options(yield_per=CHUNK)
    for row in connection.execute(query):
        position = row.position
        if position != expected:
            problems.append(f"event {expected} is missing (the next one is {position})")
        problems += _contradictions(row, previous)
        previous, expected = row.hash, position + 1
        if position % CHUNK == 0:
            progress(position, total)
    if head is None:
        problems.append("the head of the log is missing")
    elif (head.position, head.hash) != (expected - 1, previous):
        problems.append(f"the log ends at event {expected - 1}, the head says {head.position}")
    return expected - 1, previous if isinstance(previous, bytes) else b"", problems


def _contradictions(row: Row[Any], previous: bytes) -> Iterator[str]:
    columns: Any = tuple(row)[:-3]
    never = f"event {row.position}: it holds a value that was never appended"
    if b"" in columns:  # to the hash an empty id and none are the same
        yield never
    try:
        if body_hash(row.type, row.schema_version, row.data.encode()) != row.body_hash:
            yield f"event {row.position}: its body was altered"
        if chain_hash(previous, columns, row.body_hash) != row.hash:
            yield f"event {row.position}: it does not follow from the event before it"
    except (AttributeError, OverflowError, TypeError, struct.error):  # SQLite keeps any value in any column
        yield never


def _check_versions(connection: Connection) -> list[str]:
    column = schema.events.c
    query = (
        select(column.stream_id)
        .group_by(column.stream_id)
        .having((func.count() != func.max(column.version)) | (func.min(column.version) != 1))
        .limit(10)
    )
    return [f"stream {stream}: its versions have a gap" for stream in connection.scalars(query)]


def _check_anchors(connection: Connection) -> list[str]:
    anchor, event = schema.anchors.c, schema.events.c
    query = select(anchor.position).outerjoin_from(
        schema.anchors, schema.events, (anchor.position == event.position) & (anchor.hash == event.hash)
    )
    lost = connection.scalars(query.where(event.position.is_(None)))
    return [f"event {position} is not the one that was anchored" for position in lost]


def _check_bodies(connection: Connection) -> list[str]:
    problems: list[str] = []
    payload, request, state = schema.payloads.c, schema.requests.c, schema.request_states.c
    kept = connection.scalars(select(payload.hash).execution_options(yield_per=PAGE))
    for digests in kept.partitions():
        problems += _unreadable(connection, digests)
    waiting = (
        select(request.id, request.payload)
        .join_from(schema.request_states, schema.requests, state.seq == request.seq)
        .outerjoin(schema.payloads, payload.hash == request.payload)
        .where(state.status.in_(("queued", "batched", "failed", "expired")), payload.hash.is_(None))
    )
    problems += [
        f"request {row.id}: its body is gone, and it is still to be sent" for row in connection.execute(waiting)
    ]
    return problems


def _unreadable(connection: Connection, digests: Sequence[bytes]) -> list[str]:
    try:
        read_payloads(connection, digests)
    except LedgerError as error:
        if len(digests) == 1:
            return [str(error)]
        return [problem for digest in digests for problem in _unreadable(connection, [digest])]
    return []
