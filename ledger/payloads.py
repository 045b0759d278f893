"""Large bodies, outside the log: content-addressed by SHA-256, compressed, shared blocks stored once.

Twenty thousand requests under one long system prompt store that prompt once. A body is cut at the values that
requests tend to share (system prompt, tools, messages but the last); putting the pieces together again gives the
very bytes that went in, whatever was cut.
"""

from __future__ import annotations

import threading
from collections.abc import Iterable, Sequence
from functools import lru_cache
from hashlib import sha256
from typing import Final

import msgspec
import zstandard
from sqlalchemy import Connection, select

from ledger import schema
from ledger.backends import Database
from ledger.errors import LedgerCorrupt, LedgerError

__all__ = [
    "EncodedPayload",
    "PayloadPurged",
    "encode_payload",
    "read_payload",
    "read_payloads",
    "write_payloads",
]

SHARED_FROM: Final = 1024
"""Smallest value, in bytes, that is worth a row of its own."""

REMEMBERED_UP_TO: Final = 256 * 1024
"""Largest block, in bytes, that is kept at hand with its compressed form."""

_COMPRESSED, _IN_PARTS = 1, 2
_LOOKUP = 500

PayloadRow = tuple[bytes, int, int, bytes]
BlockRow = tuple[bytes, bytes]


class PayloadPurged(LedgerError):
    """The body is no longer kept; the event still tells its hash and size."""

    def __init__(self, digest: bytes) -> None:
        super().__init__(f"the body {digest.hex()[:16]}… is no longer in this ledger (purged)")
        self.digest = digest


class EncodedPayload(msgspec.Struct, frozen=True, gc=False):
    """A body ready to be stored: rows for `payloads` (the last one is the body itself) and `payload_blocks`."""

    digest: bytes
    size: int
    rows: tuple[PayloadRow, ...]
    blocks: tuple[BlockRow, ...] = ()


class _Shareable(msgspec.Struct):
    system: msgspec.Raw = msgspec.Raw()
    tools: msgspec.Raw = msgspec.Raw()
    messages: list[msgspec.Raw] = []


_shareable = msgspec.json.Decoder(_Shareable).decode
_pack_parts = msgspec.msgpack.Encoder().encode
_unpack_parts = msgspec.msgpack.Decoder(list[tuple[bool, bytes]]).decode


class _Zstd(threading.local):
    """Compression contexts are costly to make and must not be shared between threads."""

    def __init__(self) -> None:
        # On bodies of a few kB higher levels save one or two percent, and cost a third more time.
        self.compress = zstandard.ZstdCompressor(level=1).compress
        self.decompress = zstandard.ZstdDecompressor().decompress


_zstd = _Zstd()


def encode_payload(body: bytes, *, shared: bool = False) -> EncodedPayload:
    """The rows that store a body. `shared`: cut out the blocks that other bodies are likely to hold too."""
    digest = sha256(body).digest()
    cuts = _cuts(body) if shared else []
    if not cuts:
        return EncodedPayload(digest, len(body), (_row(digest, len(body), 0, body),))
    parts: list[tuple[bool, bytes]] = []
    rows: list[PayloadRow] = []
    at = 0
    for start, block in cuts:
        block_row = _remembered_row(block) if len(block) <= REMEMBERED_UP_TO else _block_row(block)
        parts += ((False, body[at:start]), (True, block_row[0]))
        rows.append(block_row)
        at = start + len(block)
    parts.append((False, body[at:]))
    rows.append(_row(digest, len(body), _IN_PARTS, _pack_parts(parts)))
    return EncodedPayload(digest, len(body), tuple(rows), tuple((digest, row[0]) for row in rows[:-1]))


def _cuts(body: bytes) -> list[tuple[int, bytes]]:
    """Non-overlapping (offset, value), ascending."""
    try:
        found = _shareable(body)
    except (msgspec.DecodeError, RecursionError):  # no request, or nested too deeply to look into
        return []
    # The last message is the one that tells a request from its like.
    shareable = (found.system, found.tools, *found.messages[:-1])
    values = [bytes(raw) for raw in shareable if len(raw) >= SHARED_FROM]
    placed = sorted((body.find(value), value) for value in dict.fromkeys(values))
    cuts: list[tuple[int, bytes]] = []
    free_from = 0
    for start, value in placed:
        if start >= free_from:
            cuts.append((start, value))
            free_from = start + len(value)
    return cuts


def _row(digest: bytes, size: int, encoding: int, content: bytes) -> PayloadRow:
    compressed = _zstd.compress(content)
    if len(compressed) < len(content):
        return (digest, size, encoding | _COMPRESSED, compressed)
    return (digest, size, encoding, content)


def _block_row(block: bytes) -> PayloadRow:
    return _row(sha256(block).digest(), len(block), 0, block)


# The system prompt of twenty thousand requests is compressed once.
_remembered_row = lru_cache(maxsize=64)(_block_row)


def write_payloads(database: Database, connection: Connection, payloads: Iterable[EncodedPayload]) -> None:
    """Store bodies that are not there yet, within the caller's transaction."""
    rows: dict[bytes, PayloadRow] = {}
    blocks: dict[BlockRow, None] = {}
    for payload in payloads:
        rows.update((row[0], row) for row in payload.rows)
        blocks.update(dict.fromkeys(payload.blocks))
    database.insert_missing(connection, schema.payloads, list(rows.values()))
    database.insert_missing(connection, schema.payload_blocks, list(blocks))


def read_payload(connection: Connection, digest: bytes) -> bytes:
    """One body, byte for byte. Raises `PayloadPurged` if it is not kept, `LedgerCorrupt` if it was altered."""
    return read_payloads(connection, [digest])[digest]


def read_payloads(connection: Connection, digests: Sequence[bytes]) -> dict[bytes, bytes]:
    """Many bodies by digest. Blocks that they share are read and unpacked once."""
    wanted = list(dict.fromkeys(digests))
    stored = _fetch(connection, wanted)
    in_parts = {digest: _parts(digest, content) for digest, (parted, content) in stored.items() if parted}
    missing = {block for parts in in_parts.values() for is_block, block in parts if is_block}
    # A block may be somebody's whole body, and lie here in parts itself.
    try:
        blocks = read_payloads(connection, list(missing)) if missing else {}
    except PayloadPurged as gone:
        raise LedgerCorrupt(f"a stored body lacks its block {gone.digest.hex()[:16]}…") from gone
    bodies: dict[bytes, bytes] = {}
    for digest in wanted:
        if digest in in_parts:
            body = b"".join(blocks[piece] if is_block else piece for is_block, piece in in_parts[digest])
        else:
            body = stored[digest][1]
        if sha256(body).digest() != digest:
            raise _altered(digest)
        bodies[digest] = body
    return bodies


def _fetch(connection: Connection, digests: Sequence[bytes]) -> dict[bytes, tuple[bool, bytes]]:
    table = schema.payloads.c
    found: dict[bytes, tuple[bool, bytes]] = {}
    for start in range(0, len(digests), _LOOKUP):
        some = digests[start : start + _LOOKUP]
        query = select(table.hash, table.encoding, table.content).where(table.hash.in_(some))
        for digest, encoding, content in connection.execute(query):
            found[digest] = (
                bool(encoding & _IN_PARTS),
                _unpacked(digest, content) if encoding & _COMPRESSED else content,
            )
    for digest in digests:
        if digest not in found:
            raise PayloadPurged(digest)
    return found


def _unpacked(digest: bytes, content: bytes) -> bytes:
    try:
        return _zstd.decompress(content)
    except (zstandard.ZstdError, MemoryError) as error:  # the latter for a header that names a size beyond reason
        raise _altered(digest) from error


def _parts(digest: bytes, content: bytes) -> list[tuple[bool, bytes]]:
    try:
        return _unpack_parts(content)
    except msgspec.DecodeError as error:
        raise _altered(digest) from error


def _altered(digest: bytes) -> LedgerCorrupt:
    return LedgerCorrupt(f"the stored body {digest.hex()[:16]}… does not match its hash")
