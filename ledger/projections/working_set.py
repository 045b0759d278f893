"""The rows that a chunk of events touches: read once, folded in memory, written once."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, Final

import msgspec
from sqlalchemy import Connection, Table, select

from ledger import schema
from ledger.backends import Database
from ledger.projections.rows import BatchRow, RequestRow

__all__ = ["LOOKUP", "WorkingSet"]

LOOKUP: Final = 500
"""Keys per IN list."""


class WorkingSet:
    """State of the requests and batches of one chunk, before and after its events."""

    def __init__(self, database: Database, connection: Connection) -> None:
        self.database = database
        self.connection = connection
        self.requests: dict[str, RequestRow] = {}
        self.batches: dict[str, BatchRow] = {}
        self.items: list[tuple[str, int, int, str | None]] = []
        self.outcomes: dict[tuple[str, int], tuple[int, str]] = {}
        self._new_requests: list[str] = []
        self._new_batches: list[str] = []

    def load(self, requests: Iterable[str], batches: Iterable[str]) -> None:
        """Read the rows of these ids. Ids without a row are about to get one."""
        self._load(schema.requests, RequestRow, requests, self.requests)
        self._load(schema.batches, BatchRow, batches, self.batches)

    def load_by_seq(self, seqs: Iterable[int]) -> dict[int, RequestRow]:
        """Requests by their `seq`: those at hand, and those that have to be read now."""
        found = {row.seq: row for row in self.requests.values()}
        wanted = [seq for seq in dict.fromkeys(seqs) if seq not in found]
        for start in range(0, len(wanted), LOOKUP):
            query = select(schema.requests).where(schema.requests.c.seq.in_(wanted[start : start + LOOKUP]))
            for stored in self.connection.execute(query).all():
                row = RequestRow(*stored)
                found[row.seq] = row
        return found

    def load_batches(self, batches: Iterable[str]) -> None:
        """Read batch rows that requests turned out to refer to."""
        self._load(schema.batches, BatchRow, (i for i in batches if i not in self.batches), self.batches)

    def _load(self, table: Table, row_type: type[Any], ids: Iterable[str], into: dict[str, Any]) -> None:
        wanted = list(dict.fromkeys(ids))
        for start in range(0, len(wanted), LOOKUP):
            query = select(table).where(table.c.id.in_(wanted[start : start + LOOKUP]))
            for stored in self.connection.execute(query).all():
                row = row_type(*stored)
                into[row.id] = row

    def add_request(self, row: RequestRow) -> None:
        """A request that was not there before."""
        self.requests[row.id] = row
        self._new_requests.append(row.id)

    def add_batch(self, row: BatchRow) -> None:
        """A batch that was not there before."""
        self.batches[row.id] = row
        self._new_batches.append(row.id)

    def settle(self, batch_id: str | None, index: int | None, row: RequestRow, outcome: str) -> None:
        """Check off an item of a batch."""
        if batch_id is not None and index is not None:
            self.outcomes[batch_id, index] = (row.seq, outcome)
            self.batches[batch_id].settled += 1

    def flush(self) -> None:
        """Write every touched row."""
        database, connection = self.database, self.connection
        self._write(schema.requests, self.requests, self._new_requests)
        self._write(schema.batches, self.batches, self._new_batches)
        database.insert(connection, schema.batch_items, self.items)
        settled = [(batch, index, *rest) for (batch, index), rest in self.outcomes.items()]
        database.update(connection, schema.batch_items, settled)

    def _write(self, table: Table, rows: dict[str, Any], new: list[str]) -> None:
        fresh = set(new)
        astuple = msgspec.structs.astuple
        self.database.insert(self.connection, table, [astuple(rows[i]) for i in new])
        self.database.update(self.connection, table, [astuple(row) for i, row in rows.items() if i not in fresh])
