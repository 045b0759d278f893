"""Anchors: where the log ended at some instant, written down and kept where who holds the ledger cannot change it.

A hash chain shows that a row was altered, unless all rows after it were made to follow; and it cannot show that its
last rows are gone. Against an anchor kept elsewhere both contradict. An anchor file holds one JSON document per line
and grows at its end:

    {"ledger":"<hash of event 1>","position":57,"hash":"<hash of event 57>","exported_at":"2026-11-22T12:00:00Z"}
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from datetime import datetime
from pathlib import Path
from typing import Annotated, Final

import msgspec
from sqlalchemy import Connection, select

from ledger import schema
from ledger.backends import Database
from ledger.clock import to_micros
from ledger.errors import InputError, LedgerCorrupt

__all__ = ["Anchor", "KeptAnchor", "anchor_head", "contradictions", "lost_anchors", "read_anchors"]

_Hash = Annotated[str, msgspec.Meta(pattern="^[0-9a-f]{64}$")]

_LOOKUP: Final = 500
_BIGGEST: Final = 64 * 1024 * 1024
"""Bytes of an anchor file, more than an anchor a minute makes in half a year: what is larger is something else."""


class Anchor(msgspec.Struct, frozen=True, kw_only=True):
    """At `exported_at` (UTC) the ledger whose event 1 has the hash `ledger` ended with this event. Hashes are hex."""

    ledger: _Hash
    position: Annotated[int, msgspec.Meta(ge=1, le=2**63 - 1)]
    hash: _Hash
    exported_at: Annotated[datetime, msgspec.Meta(tz=True)]


class KeptAnchor(msgspec.Struct, frozen=True):
    """An anchor and where it was read (`anchors.jsonl, line 3`)."""

    where: str
    anchor: Anchor


_encode = msgspec.json.Encoder().encode
_decode = msgspec.json.Decoder(Anchor).decode


def anchor_head(database: Database, now: datetime, file: Path | None = None) -> Anchor:
    """Anchor the end of the log as it stands: note it in the ledger, and add it to `file` if there is one.

    Raises `InputError` for an empty ledger and for a file that is no anchor file of this ledger, `LedgerCorrupt`
    where the log contradicts its head or an earlier anchor. Nothing is written then.
    """
    with database.write() as connection:
        anchor = _head(connection, now)
        lost = lost_anchors(connection)
        if file is not None:
            target = Path(os.path.realpath(file))
            kept = read_anchors(file, missing_is_empty=True)
            for one in kept:
                if one.anchor.ledger != anchor.ledger:
                    raise InputError(f"{one.where}: it anchors another ledger; name another file")
            lost += contradictions(connection, kept)
        if lost:
            raise LedgerCorrupt(f"{lost[0]}; run `llm-ledger verify`")
        noted = [(anchor.position, bytes.fromhex(anchor.hash), to_micros(now))]
        database.insert_missing(connection, schema.anchors, noted)
        if file is not None:
            _write(target, [*(one.anchor for one in kept), anchor])
    return anchor


def _head(connection: Connection, now: datetime) -> Anchor:
    head = connection.execute(
        select(schema.ledger_head.c.position, schema.ledger_head.c.hash).with_for_update()
    ).first()
    if head is None:
        raise LedgerCorrupt("the head of the log is missing; run `llm-ledger verify`")
    if not head.position:
        raise InputError("the ledger is empty: there is no event to anchor yet")
    hashes = _hashes(connection, [1, head.position])
    if 1 not in hashes or hashes.get(head.position) != head.hash:
        raise LedgerCorrupt("the head of the log is not its last event; run `llm-ledger verify`")
    return Anchor(ledger=hashes[1].hex(), position=head.position, hash=head.hash.hex(), exported_at=now)


def read_anchors(file: Path, *, missing_is_empty: bool = False) -> list[KeptAnchor]:
    """The anchors of a file, in its order. Raises `InputError`, with the line's number where a line is to blame."""
    try:
        if missing_is_empty and not file.exists():
            return []
        if not file.is_file() and file.exists():
            raise InputError(f"{file}: is not a file")
        if file.stat().st_size > _BIGGEST:
            raise InputError(f"{file}: is too large to be a file of anchors")
        lines = file.read_bytes().splitlines()
    except OSError as error:
        raise InputError(f"{file}: {error.strerror}") from None
    kept: list[KeptAnchor] = []
    for number, line in enumerate(lines, start=1):
        if line.strip():
            where = f"{file}, line {number}"
            try:
                kept.append(KeptAnchor(where, _decode(line)))
            except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
                raise InputError(f"{where}: is no anchor: {error}") from None
    if not kept and not missing_is_empty:
        raise InputError(f"{file}: holds no anchor")
    return kept


def _write(file: Path, anchors: Sequence[Anchor]) -> None:
    """The whole file anew, so that no reader and no crash ever sees half a line."""
    part = file.with_name(f".{file.name}.{os.getpid()}.part")
    try:
        try:
            with part.open("wb") as stream:
                stream.writelines(_encode(anchor) + b"\n" for anchor in anchors)
                stream.flush()
                os.fsync(stream.fileno())
            part.replace(file)
        finally:
            part.unlink(missing_ok=True)
    except OSError as error:
        raise InputError(f"{file}: {error.strerror}; nothing was anchored") from None


def contradictions(connection: Connection, kept: Sequence[KeptAnchor]) -> list[str]:
    """Anchors from elsewhere that the log no longer bears out: one line each."""
    if not kept:
        return []
    hashes = _hashes(connection, sorted({1, *(one.anchor.position for one in kept)}))
    first = hashes.get(1, b"")
    problems: list[str] = []
    for one in kept:
        position = one.anchor.position
        found = hashes.get(position)
        if bytes.fromhex(one.anchor.ledger) != first:
            problems.append(f"{one.where}: event 1 is not that of the ledger that was anchored")
        elif found is None:
            problems.append(f"{one.where}: event {position} was anchored, and is gone")
        elif found != bytes.fromhex(one.anchor.hash):
            problems.append(f"{one.where}: event {position} is not the one that was anchored")
    return problems


def lost_anchors(connection: Connection) -> list[str]:
    """Anchors noted in the ledger itself that the log no longer bears out: one line each."""
    anchor, event = schema.anchors.c, schema.events.c
    query = select(anchor.position).outerjoin_from(
        schema.anchors, schema.events, (anchor.position == event.position) & (anchor.hash == event.hash)
    )
    lost = connection.scalars(query.where(event.position.is_(None)).order_by(anchor.position))
    return [f"event {position} is not the one that was anchored" for position in lost]


def _hashes(connection: Connection, positions: Sequence[int]) -> dict[int, bytes]:
    """The hashes of the events at these positions, as far as there are any."""
    event = schema.events.c
    found: dict[int, bytes] = {}
    for start in range(0, len(positions), _LOOKUP):
        query = select(event.position, event.hash).where(event.position.in_(positions[start : start + _LOOKUP]))
        found.update((position, value) for position, value in connection.execute(query))
    return found
