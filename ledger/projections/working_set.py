"""The rows that a chunk of events touches: read once, folded in memory, written once."""

from __future__ import annotations

from collections.abc import Iterable
from functools import cache
from typing import Any, Final

import msgspec
from sqlalchemy import Connection, Select, select

from ledger import schema
from ledger.backends import Database
from ledger.backends.statements import columns
from ledger.projections.rows import FACTS, BatchRow, RequestRow

__all__ = ["WorkingSet", "select_requests"]

# Spelt out for the hot path; `select_requests` is the same as a statement to build on.
_REQUESTS: Final = (
    f"SELECT {columns(schema.requests)}, {columns(schema.request_states, start=1)} "  # noqa: S608
    "FROM requests JOIN request_states ON requests.seq = request_states.seq WHERE "
)
_BATCHES: Final = f"SELECT {columns(schema.batches)} FROM batches WHERE id {{among}}"  # noqa: S608


@cache
def select_requests() -> Select[*tuple[Any, ...]]:
    """Whole requests, in the order of `RequestRow`'s fields."""
    state = schema.request_states
    return select(*schema.requests.c, *list(state.c)[1:]).join_from(
        schema.requests, state, schema.requests.c.seq == state.c.seq
    )


class WorkingSet:
    """State of the requests and batches of one chunk, before and after its events."""

    def __init__(self, database: Database, connection: Connection) -> None:
        self.database = database
        self.connection = connection
        self.requests: dict[str, RequestRow] = {}
        self.batches: dict[str, BatchRow] = {}
        self._new_requests: set[str] = set()
        self._new_batches: set[str] = set()

    def load_requests(self, requests: Iterable[str]) -> None:
        """Read the rows of these ids. Ids without a row are about to get one."""
        for row in self.database.fetch(
            self.connection, _REQUESTS + "requests.id {among}", list(dict.fromkeys(requests))
        ):
            self.requests[row[1]] = RequestRow(*row)

    def load_batches(self, batches: Iterable[str]) -> None:
        """The same for batches."""
        wanted = [batch for batch in dict.fromkeys(batches) if batch not in self.batches]
        for row in self.database.fetch(self.connection, _BATCHES, wanted):
            self.batches[row[0]] = BatchRow(*row)

    def requests_by_seq(self, seqs: Iterable[int]) -> dict[int, RequestRow]:
        """Requests by their `seq`: those at hand, and others, which are read and not written back."""
        found = {row.seq: row for row in self.requests.values()}
        missing = [seq for seq in dict.fromkeys(seqs) if seq not in found]
        for row in self.database.fetch(self.connection, _REQUESTS + "requests.seq {among}", missing):
            found[row[0]] = RequestRow(*row)
        return found

    def add_request(self, row: RequestRow) -> None:
        """A request that was not there before."""
        self.requests[row.id] = row
        self._new_requests.add(row.id)

    def add_batch(self, row: BatchRow) -> None:
        """A batch that was not there before."""
        self.batches[row.id] = row
        self._new_batches.add(row.id)

    def settle(self, batch_id: str | None) -> None:
        """Check off an item of a batch."""
        if batch_id is not None:
            self.batches[batch_id].settled += 1

    def flush(self) -> None:
        """Write every touched row."""
        database, connection = self.database, self.connection
        facts: list[tuple[Any, ...]] = []
        states: list[tuple[Any, ...]] = []
        changed: list[tuple[Any, ...]] = []
        for request_id, request in self.requests.items():
            values = msgspec.structs.astuple(request)
            state = (request.seq, *values[FACTS:])
            if request_id in self._new_requests:
                facts.append(values[:FACTS])
                states.append(state)
            else:
                changed.append(state)
        database.insert(connection, schema.requests, facts)
        database.insert(connection, schema.request_states, states)
        database.update(connection, schema.request_states, changed)
        rows = {batch_id: msgspec.structs.astuple(batch) for batch_id, batch in self.batches.items()}
        database.insert(
            connection, schema.batches, [rows[batch_id] for batch_id in rows if batch_id in self._new_batches]
        )
        database.update(
            connection, schema.batches, [row for batch_id, row in rows.items() if batch_id not in self._new_batches]
        )
