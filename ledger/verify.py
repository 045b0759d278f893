"""Proof that the log is what was appended, and that the projections are what the log amounts to."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

import msgspec
from sqlalchemy import Connection, select
from sqlalchemy.exc import DBAPIError

from ledger import schema
from ledger.anchors import KeptAnchor, contradictions, lost_anchors
from ledger.backends import Database
from ledger.chain import broken_versions, check_chain, leniently
from ledger.differences import differences
from ledger.errors import LedgerError
from ledger.payloads import read_payloads
from ledger.replay import Progress, silent

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
    database: Database,
    progress: Progress = silent,
    *,
    bodies: bool = False,
    anchors: Sequence[KeptAnchor] = (),
) -> Verification:
    """Check every hash, position and version of the log, and refold it beside the projections.

    With `bodies`, also read every stored body: it has to match its hash, and none may be gone that is to be sent.
    `anchors` are those kept elsewhere: only they show that the last events are gone, or that all were made anew.
    The log is not folded where it contradicts itself: what would come of it means nothing.
    """
    with database.read() as connection, leniently(connection):
        chain = check_chain(connection, progress)
        problems = chain.problems + broken_versions(connection)
        problems += lost_anchors(connection) + contradictions(connection, anchors)
        problems += _check_bodies(connection) if bodies else []
    if not problems:
        problems += _check_projections(database)
    return Verification(chain.position, chain.tip.hex(), tuple(problems))


def _check_projections(database: Database) -> list[str]:
    try:
        return differences(database)
    except DBAPIError as error:
        if "Could not decode" not in str(error.orig):
            raise
        return ["projections: one holds text that is none; run `llm-ledger rebuild`"]


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
    except (LedgerError, AttributeError, TypeError) as error:  # the latter two for values that no append writes
        if len(digests) == 1:
            told = isinstance(error, LedgerError)
            return [
                str(error) if told else f"the stored body {_name(digests[0])}… holds a value that was never written"
            ]
        return [problem for digest in digests for problem in _unreadable(connection, [digest])]
    return []


def _name(digest: object) -> str:
    return digest.hex()[:16] if isinstance(digest, bytes) else ascii(digest)[:16]
