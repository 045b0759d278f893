"""The append protocol: one serialised writer, gapless positions, a hash chain, projections in step.

    outside the lock   encode every event, hash its body
    under the lock     read the head, check versions, chain, insert, fold, move the head, commit

An append is all or nothing. Appending the same events again (equal ids, equal bodies) answers with their
positions and stores nothing.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Any, Final
from uuid import UUID

import msgspec
from sqlalchemy import Connection, Row, bindparam, literal_column, select, update

from ledger import schema
from ledger.backends import Database, DuplicateRow
from ledger.clock import Clock, from_micros, to_micros
from ledger.codec import chain_hash, decode_data, without_nul
from ledger.encoding import EncodedEvent, encode
from ledger.errors import DatabaseUnavailable, IdempotencyMismatch, VersionConflict
from ledger.events import NewEvent, RecordedEvent
from ledger.payloads import EncodedPayload, write_payloads
from ledger.projections import Fact, Folds, portions
from ledger.turns import Append, Turns

__all__ = ["CHUNK", "EventStore", "Head"]

CHUNK: Final = 10000
"""Events folded at once: enough to amortise reading rows, few enough to stay small in memory."""

_LOOKUP: Final = 500

AGAIN_AFTER: Final = (0.0, 0.2, 0.8, 2.0)
"""Seconds before an append that found the database gone is tried again: a restart is over by then."""


class Head(msgspec.Struct, frozen=True):
    """The last event's position (0 in an empty log) and hash."""

    position: int
    hash: bytes


class EventStore:
    """The log of one ledger."""

    def __init__(self, database: Database, clock: Clock) -> None:
        self._database = database
        self._clock = clock
        self._turns = Turns(self._write)

    def append(
        self,
        events: Iterable[NewEvent],
        *,
        payloads: Iterable[EncodedPayload] = (),
        guard: Callable[[Connection], None] | None = None,
    ) -> list[int]:
        """Append all events, and the bodies they speak of, or nothing. Returns their positions in order.

        `guard` runs under the lock before anything is written and may raise to stop the append (a lost lease).
        Raises `VersionConflict` where a stream is not at the version before, `IdempotencyMismatch` where an
        event id is stored with another body or in another stream, `DatabaseUnavailable` where the database is gone
        and stays so for seconds; the append may be stored then.
        """
        append = Append(encode(events), list(payloads), guard)
        self.append_all([append])
        for seconds in AGAIN_AFTER:
            if not (isinstance(append.refusal, DatabaseUnavailable) and append.refusal.lost):
                break
            time.sleep(seconds)
            append.decide(self._once_more)
        return append.result()

    def append_all(self, appends: Sequence[Append]) -> None:
        """Decide many appends, each for itself as `append` would, but in as few transactions as can be."""
        self._turns.take_all(appends)
        for append in appends:
            if isinstance(append.refusal, DuplicateRow | VersionConflict):
                append.decide(self._write_rest)

    def _once_more(self, append: Append) -> list[int]:
        """Positions of an append whose connection broke: before its commit or after it, the events' ids tell."""
        stored = self._stored(append.events)
        if len(stored) == len(append.events):
            return [stored[one.event_id] for one in append.events]
        again = Append(append.events, append.payloads, append.guard)
        self.append_all([again])
        return again.result()

    def _write_rest(self, append: Append) -> list[int]:
        """Store what the log does not hold yet of an append that was refused: all of it may be there."""
        encoded = append.events
        stored = self._stored(encoded)
        if not stored:
            assert append.refusal is not None
            raise self._conflict(append.refusal, encoded) from append.refusal
        rest = [one for one in encoded if one.event_id not in stored]
        if rest:
            try:
                positions = self._turns.take(Append(rest, append.payloads, append.guard))
            except DuplicateRow as refusal:
                raise self._conflict(refusal, rest) from refusal
            stored |= dict(zip((one.event_id for one in rest), positions, strict=True))
        return [stored[one.event_id] for one in encoded]

    def try_writing(self) -> None:
        """Do what an append does, with no events. Raises `DatabaseUnusable` where an append would."""
        self._write(())

    def head(self) -> Head:
        """Where the log ends."""
        with self._database.read() as connection:
            return _head(connection)

    def read(
        self,
        *,
        after: int = 0,
        stream: str | None = None,
        limit: int | None = None,
        newest_first: bool = False,
    ) -> Iterator[RecordedEvent]:
        """Events in log order beyond a position, of one stream if named; streamed in pages."""
        for row in self.read_rows(after=after, stream=stream, limit=limit, newest_first=newest_first):
            yield _decode(row)

    def read_rows(
        self,
        *,
        after: int = 0,
        stream: str | None = None,
        limit: int | None = None,
        newest_first: bool = False,
    ) -> Iterator[Row[Any]]:
        """The same as stored rows, nothing decoded."""
        column = schema.events.c
        bound = after
        left = limit
        while left is None or left > 0:
            if newest_first:
                page = select(schema.events).order_by(column.position.desc())
                page = page.where(column.position < bound) if bound else page
            else:
                page = select(schema.events).order_by(column.position).where(column.position > bound)
            if stream is not None:
                page = page.where(column.stream_id == stream)
            size = CHUNK if left is None else min(CHUNK, left)
            # Written out: SQLite plans a statement anew for every bound limit.
            with self._database.read() as connection:
                rows = connection.execute(page.limit(literal_column(str(size)))).all()
            yield from rows
            if len(rows) < size:
                return
            bound = rows[-1].position
            left = None if left is None else left - len(rows)

    def _write(self, group: Sequence[Append]) -> None:
        """Store a group of appends in one transaction: all of them, or none."""
        recorded_at = to_micros(self._clock.now())
        events = [event for append in group for event in append.events]
        with self._database.write() as connection:
            first = last = _head(connection, lock=True)
            for append in group:
                if append.guard is not None:
                    append.guard(connection)
            _check_versions(self._database, connection, events)
            write_payloads(self._database, connection, [body for append in group for body in append.payloads])
            for portion in portions(events, CHUNK):
                last = self._write_portion(connection, last, portion, recorded_at)
            connection.execute(_MOVE_HEAD, {"to": last.position, "tip": last.hash})
        position = first.position
        for append in group:
            append.positions = list(range(position + 1, position + len(append.events) + 1))
            position += len(append.events)

    def _write_portion(
        self, connection: Connection, head: Head, events: Sequence[EncodedEvent], recorded_at: int
    ) -> Head:
        folds = Folds(self._database, connection, events)
        position, previous = head.position, head.hash

        def rows() -> Iterator[tuple[Any, ...]]:
            # Chains and folds an event when its row is asked for: the server stores those before it meanwhile.
            nonlocal position, previous
            for event in events:
                position += 1
                columns = (
                    position,
                    event.stream_id,
                    event.version,
                    event.event_id,
                    event.type,
                    event.schema_version,
                    event.occurred_at,
                    recorded_at,
                    event.correlation_id,
                    event.causation_id,
                )
                previous = chain_hash(previous, columns, event.body)
                yield (*columns, event.text, event.body, previous)
                folds.apply(Fact(position, event.entity, event.version, event.occurred_at, recorded_at, event.data))

        self._database.insert(connection, schema.events, rows())
        folds.flush()
        return Head(position, previous)

    def _stored(self, encoded: Sequence[EncodedEvent]) -> dict[bytes, int]:
        """Positions of those events that are in the log already; `IdempotencyMismatch` if one says otherwise."""
        by_id = {one.event_id: one for one in encoded}
        ids = list(by_id)
        column = schema.events.c
        stored: dict[bytes, int] = {}
        with self._database.read() as connection:
            for start in range(0, len(ids), _LOOKUP):
                query = select(column.event_id, column.position, column.stream_id, column.body_hash).where(
                    column.event_id.in_(ids[start : start + _LOOKUP])
                )
                for event_id, position, stream, body in connection.execute(query):
                    wanted = by_id[event_id]
                    if (stream, body) != (wanted.stream_id, wanted.body):
                        raise IdempotencyMismatch(str(UUID(bytes=event_id)), stream)
                    stored[event_id] = position
        return stored

    def _conflict(self, refusal: Exception, encoded: Sequence[EncodedEvent]) -> VersionConflict:
        """Which stream is not where it was believed to be, after a unique constraint refused a row."""
        if isinstance(refusal, VersionConflict):
            return refusal
        try:
            with self._database.read() as connection:
                _check_versions(self._database, connection, encoded, opening=True)
        except VersionConflict as conflict:
            return conflict
        # The streams are new; a projection knows the same request under another id.
        first = encoded[0]
        return VersionConflict(first.stream_id, first.version, first.version)


def _decode(row: Row[Any]) -> RecordedEvent:
    return RecordedEvent(
        position=row.position,
        stream_id=row.stream_id,
        version=row.version,
        event_id=UUID(bytes=row.event_id),
        type=row.type,
        schema_version=row.schema_version,
        occurred_at=from_micros(row.occurred_at),
        recorded_at=from_micros(row.recorded_at),
        correlation_id=_uuid(row.correlation_id),
        causation_id=_uuid(row.causation_id),
        data=decode_data(row.type, row.schema_version, row.data),
        body_hash=row.body_hash,
        hash=row.hash,
    )


def _uuid(value: bytes | None) -> UUID | None:
    return UUID(bytes=value) if value is not None else None


_HEAD: Final = select(schema.ledger_head.c.position, schema.ledger_head.c.hash)
_LOCKED_HEAD: Final = _HEAD.with_for_update()
_MOVE_HEAD: Final = update(schema.ledger_head).values(position=bindparam("to"), hash=bindparam("tip"))


def _head(connection: Connection, *, lock: bool = False) -> Head:
    return Head(*connection.execute(_LOCKED_HEAD if lock else _HEAD).one())


_VERSIONS: Final = "SELECT stream_id, max(version) FROM events WHERE stream_id {among} GROUP BY stream_id"


def _check_versions(
    database: Database, connection: Connection, events: Sequence[EncodedEvent], *, opening: bool = False
) -> None:
    """Every stream must be exactly one version behind its first event here.

    Where that event opens the stream the index checks it, at no cost; `opening` looks all the same.
    """
    firsts: dict[str, int] = {}
    expected: dict[str, int] = {}
    for event in events:
        stream, version = event.stream_id, event.version
        if expected.setdefault(stream, version) != version:
            raise VersionConflict(stream, version, expected[stream] - 1)
        firsts.setdefault(stream, version)
        expected[stream] = version + 1
    known = [stream for stream, version in firsts.items() if opening or version != 1]
    actual = dict(database.fetch(connection, _VERSIONS, known))
    for stream in known:
        if actual.get(stream, 0) != firsts[stream] - 1:
            raise VersionConflict(stream, firsts[stream], actual.get(stream, 0))


def as_fact(row: Row[Any]) -> Fact:
    """A stored row, as the folds take it."""
    return Fact(
        row.position,
        row.stream_id.partition("/")[2],
        row.version,
        row.occurred_at,
        row.recorded_at,
        decode_data(row.type, row.schema_version, without_nul(row.data)),
    )
