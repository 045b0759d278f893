"""Who stands on which stored body: a request on its params and results, a body on the blocks it was cut into."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any, Final

import msgspec
from sqlalchemy import ColumnElement, Connection, Row, Select, select

from ledger import schema
from ledger.backends import Database
from ledger.replay import head

__all__ = ["Others", "blocks_within", "joined", "pages"]

_PAGE: Final = 5000
_REFERRING: Final = ("request.recorded", "request.succeeded", "request.failed")


class _Bodies(msgspec.Struct):
    """Of an event's body the digests of stored bodies, in hex."""

    payload: str | None = None
    result: str | None = None

    def digests(self) -> Iterator[bytes]:
        for digest in (self.payload, self.result):
            if digest:
                yield bytes.fromhex(digest)


_bodies = msgspec.json.Decoder(_Bodies).decode


def joined(*columns: Any) -> Select[*tuple[Any, ...]]:
    """A query over requests, each with its state and its last batch."""
    request, state, batch = schema.requests, schema.request_states, schema.batches
    tables = request.join(state, request.c.seq == state.c.seq).outerjoin(batch, batch.c.id == state.c.batch_id)
    return select(*columns).select_from(tables)


def pages(
    database: Database, condition: ColumnElement[bool], after: int = 0
) -> Iterator[list[tuple[int, set[bytes]]]]:
    """Requests that fulfil a condition on `joined`, by pages: (seq, digests of the bodies that they stand on)."""
    request, state = schema.requests.c, schema.request_states.c
    query = joined(request.seq, request.id, request.payload, state.result, state.status, state.version)
    query = query.where(condition).order_by(request.seq).limit(_PAGE)
    while True:
        with database.read() as connection:
            rows = connection.execute(query.where(request.seq > after)).all()
            earlier = _earlier_results(database, connection, [row.id for row in rows if _has_more_to_tell(row)])
        if rows:
            yield [
                (row.seq, {digest for digest in (row.payload, row.result) if digest} | earlier.get(row.id, set()))
                for row in rows
            ]
            after = rows[-1].seq
        if len(rows) < _PAGE:
            return


def _has_more_to_tell(row: Row[Any]) -> bool:
    """False where the events were recorded, batched, ended and billed at most: then there is one result only."""
    return bool(row.version > 4 or (row.version > 3 and row.status != "succeeded"))


def _earlier_results(database: Database, connection: Connection, ids: Sequence[str]) -> dict[str, set[bytes]]:
    """Bodies of failed attempts, by request: its row tells of the last one only."""
    query = "SELECT stream_id, data FROM events WHERE type = 'request.failed' AND stream_id {among}"
    found: dict[str, set[bytes]] = {}
    for stream, data in database.fetch(connection, query, [f"request/{one}" for one in ids]):
        found.setdefault(stream.partition("/")[2], set()).update(_bodies(data).digests())
    return found


def blocks_within(database: Database, connection: Connection, digests: set[bytes]) -> set[bytes]:
    """The blocks of these bodies, and theirs: a block may be somebody's whole body, and be cut up itself."""
    query = "SELECT DISTINCT block FROM payload_blocks WHERE payload {among}"
    found: set[bytes] = set()
    frontier = digests
    while frontier:
        frontier = {block for (block,) in database.fetch(connection, query, list(frontier))} - found
        found |= frontier
    return found


class Others:
    """Which of the suspected bodies somebody else stands on: requests under a condition, and whatever comes later."""

    def __init__(self, database: Database, suspects: set[bytes], condition: ColumnElement[bool]) -> None:
        self.suspects = suspects
        self.kept: set[bytes] = set()
        with database.read() as connection:
            self._at = head(connection)
        for page in pages(database, condition):
            for _, digests in page:
                self.kept |= digests & suspects

    def catch_up(self, connection: Connection) -> None:
        """Take in what was appended since the last look."""
        event = schema.events.c
        until = head(connection)
        if until == self._at:
            return
        query = select(event.data).where(event.position > self._at, event.type.in_(_REFERRING))
        for data in connection.scalars(query.execution_options(yield_per=_PAGE)):
            self.kept.update(digest for digest in _bodies(data).digests() if digest in self.suspects)
        self._at = until
