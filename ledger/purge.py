"""Retention: bodies of requests that ended long ago are deleted; the log, which holds their hashes only, stays whole.

    beside the ledger   choose requests, find out which of their bodies somebody else stands on
    under the lock      look at what was appended since, delete the bodies of a portion of the requests, commit

An append stores its bodies under the same lock. So it comes either before a portion, which then sees that the body is
referred to, or after it, and stores the body anew. What a purge had no time for, the next one does.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from datetime import datetime
from typing import Final

import msgspec
from sqlalchemy import ColumnElement, Connection, and_, case, func, or_, select

from ledger import schema
from ledger.backends import Database
from ledger.clock import to_micros
from ledger.errors import LedgerCorrupt
from ledger.projections import TERMINAL, position
from ledger.references import Others, blocks_within, joined, pages
from ledger.replay import Progress, head, silent

__all__ = ["Purged", "purge"]

PORTION: Final = 1000
"""Requests whose bodies are deleted in one transaction, while appends wait."""

STRETCH: Final = 100_000
"""Requests that are chosen at once: for each stretch the references of everybody else are read once."""

REST_SECONDS: Final = 0.1
"""Pause after a portion on SQLite: who waits for the lock there stands in no queue, but looks again that often."""

_DONE: Final = ("collected", "failed")
"""Batches for which nothing will be sent or fetched again."""

_HELD: Final = "SELECT hash, size FROM payloads WHERE hash {among}"
# Looked up one by one: all requests may share one block, and of its rows the first one is enough.
_BLOCKS: Final = (
    "SELECT hash FROM payloads WHERE hash {among} AND (SELECT true FROM payload_blocks WHERE block = hash LIMIT 1)"
)
_UNTIE: Final = "DELETE FROM payload_blocks WHERE payload {among} RETURNING block"
_DELETE: Final = "DELETE FROM payloads WHERE hash {among} RETURNING hash, size"


class Purged(msgspec.Struct, frozen=True):
    """How many requests lost bodies, how many bodies that were, and their bytes as they were recorded."""

    requests: int = 0
    bodies: int = 0
    bytes: int = 0

    def __add__(self, other: Purged) -> Purged:
        return Purged(self.requests + other.requests, self.bodies + other.bodies, self.bytes + other.bytes)


def purge(
    database: Database,
    before: datetime,
    *,
    key: str | None = None,
    dry_run: bool = False,
    progress: Progress = silent,
    rest: Callable[[float], None] = time.sleep,
) -> Purged:
    """Delete stored params and results of requests that ended before an instant, and whose batch is done.

    With `key` only of requests recorded under it. A body stays while any other request stands on it, or any other
    body is made of it. `progress` is told in requests. With `dry_run` nothing is deleted; a body that requests share
    may then be counted twice if `STRETCH` others lie between them.

    Raises `LedgerCorrupt` where the projections, which tell who stands on what, are not at the head of the log.
    """
    chosen = _chosen(to_micros(before), key)
    with database.read() as connection:
        if position(connection) != head(connection):
            raise LedgerCorrupt("the projections are not at the head of the log; run `llm-ledger rebuild`")
        total = connection.scalar(joined(func.count()).where(chosen)) or 0
    purged = Purged()
    done = 0
    for skipped, requests in _stretches(database, chosen):
        done += skipped
        stretch = _Stretch(database, requests, others=case((chosen, 0), else_=1) == 1)
        for start in range(0, len(requests), PORTION):
            portion = requests[start : start + PORTION]
            purged += stretch.count(portion) if dry_run else stretch.delete(portion)
            done += len(portion)
            progress(done, total)
            if not dry_run and database.dialect == "sqlite":
                rest(REST_SECONDS)
    return purged


def _chosen(before: int, key: str | None) -> ColumnElement[bool]:
    request, state, batch = schema.requests.c, schema.request_states.c, schema.batches.c
    return and_(
        state.status.in_(sorted(TERMINAL)),
        state.finished_at < before,
        or_(state.batch_id.is_(None), batch.status.in_(_DONE)),
        *([request.key == key] if key is not None else []),
    )


def _stretches(database: Database, chosen: ColumnElement[bool]) -> Iterator[tuple[int, list[set[bytes]]]]:
    """Chosen requests by the bodies that are still stored, and how many between them have none left."""
    skipped, requests = 0, list[set[bytes]]()
    for page in pages(database, chosen):
        named = {digest for _, digests in page for digest in digests}
        with database.read() as connection:
            held = {digest for digest, _ in database.fetch(connection, _HELD, list(named))}
        left = [digests & held for _, digests in page if digests & held]
        skipped += len(page) - len(left)
        requests += left
        if len(requests) >= STRETCH:
            yield skipped, requests
            skipped, requests = 0, []
    if requests:
        yield skipped, requests


class _Stretch:
    """Some requests and what is known of their bodies."""

    def __init__(self, database: Database, requests: list[set[bytes]], others: ColumnElement[bool]) -> None:
        self._database = database
        suspects = set[bytes]().union(*requests)
        with database.read() as connection:
            suspects |= blocks_within(database, connection, suspects)
        self._others = Others(database, suspects, others)
        self._gone: set[bytes] = set()

    def count(self, portion: list[set[bytes]]) -> Purged:
        """What `delete` would delete."""
        with self._database.read() as connection:
            self._others.catch_up(connection)
            free = self._free(connection, set[bytes]().union(*portion)) - self._gone
            return self._account(portion, dict(self._database.fetch(connection, _HELD, list(free))))

    def delete(self, portion: list[set[bytes]]) -> Purged:
        """Delete what nobody else stands on, in one transaction."""
        with self._database.read() as connection:  # so that little is left to look at under the lock
            self._others.catch_up(connection)
        with self._database.write() as connection:
            connection.execute(select(schema.ledger_head.c.position).with_for_update())
            if self._database.dialect == "sqlite":
                connection.exec_driver_sql("PRAGMA secure_delete=ON")  # or else the bytes stay in the file
            self._others.catch_up(connection)
            return self._account(portion, self._delete(connection, set[bytes]().union(*portion)))

    def _delete(self, connection: Connection, digests: set[bytes]) -> dict[bytes, int]:
        """Delete bodies, then those of their blocks that no body is made of any more. Size of each body that went."""
        free = list(self._free(connection, digests))
        blocks = {block for (block,) in self._database.fetch(connection, _UNTIE, free)}
        sizes = dict(self._database.fetch(connection, _DELETE, free))
        if blocks:
            self._delete(connection, blocks)
        return sizes

    def _free(self, connection: Connection, digests: set[bytes]) -> set[bytes]:
        """Those that no other request stands on and no body is made of."""
        alone = (digests & self._others.suspects) - self._others.kept
        return alone - {digest for (digest,) in self._database.fetch(connection, _BLOCKS, list(alone))}

    def _account(self, portion: list[set[bytes]], sizes: dict[bytes, int]) -> Purged:
        self._gone |= sizes.keys()
        return Purged(sum(bool(digests & self._gone) for digests in portion), len(sizes), sum(sizes.values()))
