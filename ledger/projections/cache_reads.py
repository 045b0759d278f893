"""Fold: which cache writes nobody ever read.

A write is known by the fingerprint of the prefix up to the request's last breakpoint. It counts as read once any
request of the same model that carries this prefix reads from the cache, before or after it in the log (results
of a batch come in any order). A request that itself writes up to its last breakpoint has not read that far.
"""

from __future__ import annotations

from collections.abc import Iterator
from hashlib import blake2b
from typing import Final

import msgspec
from sqlalchemy import delete

from ledger import schema
from ledger.pricing import Tokens
from ledger.projections.rows import RequestRow
from ledger.projections.working_set import WorkingSet

__all__ = ["CacheReads", "UnreadChange"]

_DIGEST: Final = 8

_UNREAD: Final = (
    "SELECT prefix, request, price_key, billed_at, write_5m, write_1h FROM unread_writes WHERE prefix {among}"
)
_READ: Final = "SELECT prefix FROM cache_prefixes WHERE prefix {among}"


class UnreadChange(msgspec.Struct, frozen=True):
    """So many more (or fewer) written tokens that nobody has read, under the writer's price key and time."""

    request: RequestRow
    price_key: int
    billed_at: int
    write_5m: int
    write_1h: int


class CacheReads:
    """Usage of requests with breakpoints → `cache_prefixes` (what was read), `unread_writes` (what was not)."""

    def __init__(self, rows: WorkingSet) -> None:
        self._rows = rows
        self._reads: dict[bytes, int] = {}
        self._writes: list[tuple[bytes, RequestRow, int, int, Tokens]] = []

    def note(self, row: RequestRow, tokens: Tokens, price_key: int, billed_at: int, role: str) -> None:
        """One billed item's own usage. What a duplicate wrote is not counted: all of its cost is waste already."""
        if row.prefix is None or not (tokens.read or tokens.writes):
            return
        keys = _keys(row.model, row.prefix)
        if tokens.read:
            for key in keys[:-1] if tokens.writes else keys:
                self._reads[key] = self._reads.get(key, 0) + 1
        if tokens.writes and role == "result":
            self._writes.append((keys[-1], row, price_key, billed_at, tokens))

    def flush(self) -> list[UnreadChange]:
        """Write both tables; the changes are the caller's to count."""
        self._rows.database.add(self._rows.connection, schema.cache_prefixes, list(self._reads.items()))
        changes = [*self._found_out(), *self._still_unread()]
        self._reads, self._writes = {}, []
        return changes

    def _found_out(self) -> Iterator[UnreadChange]:
        """Earlier writes that this chunk reads."""
        connection, table = self._rows.connection, schema.unread_writes
        found = self._rows.database.fetch(connection, _UNREAD, list(self._reads))
        if not found:
            return
        for prefix in {write[0] for write in found}:
            connection.execute(delete(table).where(table.c.prefix == prefix))
        writers = self._rows.requests_by_seq(write[1] for write in found)
        for _prefix, request, price_key, billed_at, write_5m, write_1h in found:
            yield UnreadChange(writers[request], price_key, billed_at, -write_5m, -write_1h)

    def _still_unread(self) -> Iterator[UnreadChange]:
        """This chunk's writes, but those that some request has read already."""
        keys = list({key for key, *_ in self._writes})
        read = {prefix for (prefix,) in self._rows.database.fetch(self._rows.connection, _READ, keys)}
        rows = []
        for key, row, price_key, billed_at, tokens in self._writes:
            if key not in read:
                rows.append((key, row.seq, price_key, billed_at, tokens.write_5m, tokens.write_1h))
                yield UnreadChange(row, price_key, billed_at, tokens.write_5m, tokens.write_1h)
        self._rows.database.insert_missing(self._rows.connection, schema.unread_writes, rows)


def _keys(model: str, prefix: bytes) -> list[bytes]:
    """One key per block of the prefix: caches are per model."""
    name = model.encode()
    return [
        blake2b(prefix[at : at + _DIGEST] + name, digest_size=_DIGEST).digest()
        for at in range(0, len(prefix), _DIGEST)
    ]
