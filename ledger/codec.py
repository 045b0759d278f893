"""Bytes and hashes: how an event is written, what its hashes cover, and how JSON from outside is read.

`body_hash` covers what the event says (type, schema version, data). `hash` covers the hash before it and every
column of the row, `body_hash` standing for `data`; so a body can be checked alone, and the chain without bodies.
"""

from __future__ import annotations

import json
import re
import struct
from hashlib import sha256
from typing import Any

import msgspec

from ledger.errors import LedgerCorrupt
from ledger.events import CATALOGUE, EventData
from ledger.upcast import SCHEMA_VERSIONS, upcast

__all__ = [
    "GENESIS",
    "Columns",
    "DuplicateKey",
    "body_hash",
    "canonical_json",
    "chain_hash",
    "decode_data",
    "encode_data",
    "parse_json",
    "without_nul",
]

GENESIS = bytes(32)
"""What stands for the hash before position 1."""

_pack_body = struct.Struct(">HII").pack
_pack_row = struct.Struct(">QIHqqIIIII").pack

_encode = msgspec.json.Encoder().encode
_decoders = {name: msgspec.json.Decoder(cls).decode for name, cls in CATALOGUE.items()}


def encode_data(data: EventData) -> bytes:
    """The event's body as JSON, fields in the catalogue's order."""
    return _encode(data)


def decode_data(event_type: str, schema_version: int, data: str | bytes) -> EventData:
    """The event's body in its current schema version; older ones are upcast on the way.

    Raises `LedgerCorrupt` for a type or version that this release does not know, and for a body that is not one.
    """
    try:
        if schema_version == SCHEMA_VERSIONS.get(event_type):
            return _decoders[event_type](data)
        body = upcast(event_type, schema_version, msgspec.json.decode(data))
        return msgspec.convert(body, CATALOGUE[event_type])
    except msgspec.MsgspecError as error:
        raise LedgerCorrupt(f"the stored body of a {event_type} event cannot be read: {error}") from error


_NUL = re.compile(r"(?<!\\)((?:\\\\)*)\\u0000")


def without_nul(text: str) -> str:
    """An event's JSON as the projections take it: U+FFFD for NUL, which a text column of Postgres cannot hold.

    The log itself keeps it: there it is an escape. Both databases fold the same, so that each verifies the other.
    """
    return _NUL.sub(r"\1\\ufffd", text) if "\\u0000" in text else text


def body_hash(event_type: str, schema_version: int, data: bytes) -> bytes:
    """SHA-256 over what the event says."""
    name = event_type.encode()
    return sha256(b"".join((_pack_body(schema_version, len(name), len(data)), name, data))).digest()


Columns = tuple[int, str, int, bytes, str, int, int, int, bytes | None, bytes | None]
"""Position, stream id, version, event id, type, schema version, occurred_at, recorded_at, correlation, causation."""


def chain_hash(previous: bytes, columns: Columns, body: bytes) -> bytes:
    """SHA-256 over the hash before, every column and the body's hash.

    The lengths of what has no fixed width go in front, so that no two rows give the same bytes.
    """
    position, stream, version, event_id, kind, schema_version, occurred_at, recorded_at, correlation, causation = (
        columns
    )
    stream_id, event_type = stream.encode(), kind.encode()
    correlation, causation = correlation or b"", causation or b""
    widths = (len(stream_id), len(event_id), len(event_type), len(correlation), len(causation))
    fixed = _pack_row(position, version, schema_version, occurred_at, recorded_at, *widths)
    return sha256(b"".join((previous, fixed, stream_id, event_id, event_type, correlation, causation, body))).digest()


class DuplicateKey(ValueError):
    """A JSON object names one key twice: readers disagree on which of the values counts."""


def _unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    value = dict(pairs)
    if len(value) != len(pairs):
        seen: set[str] = set()
        twice = next(key for key, _ in pairs if key in seen or seen.add(key))  # type: ignore[func-returns-value]
        raise DuplicateKey(f"key {twice!r} appears twice in one object")
    return value


def _repeats_no_key(text: bytes, value: Any) -> bool:
    """Whether all members of the text's objects are in the value that was read from it; False if that is unclear.

    A text holds one colon per member, and those in its strings. What was read, spelt again, holds as many, unless
    a member is gone: every repeated key takes one along. Only an escape can be a colon there and none in the text.
    """
    return b"\\u003" not in text and text.count(b":") == msgspec.json.encode(value).count(b":")


def parse_json(text: bytes) -> Any:
    """Strictly read JSON from outside.

    Raises `ValueError` with a reason for what readers would disagree on: duplicate keys, NaN, lone surrogates,
    numbers out of range, a byte order mark, bytes that are not UTF-8, nesting beyond the interpreter's limit.
    """
    try:
        value = msgspec.json.decode(text)
        return value if _repeats_no_key(text, value) else json.loads(text, object_pairs_hook=_unique)
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise ValueError(_reason(text, str(error))) from None
    except RecursionError:
        raise ValueError("nested too deeply") from None


def _reason(text: bytes, reason: str) -> str:
    try:
        text.decode()
    except UnicodeDecodeError as error:
        return f"byte {error.start} is not UTF-8"
    if text.startswith(b"\xef\xbb\xbf"):
        return "begins with a byte order mark; save the file as UTF-8 without BOM"
    if _has_lone_surrogate(text):
        return "contains a lone surrogate (half of a \\ud8xx\\udcxx pair)"
    return f"not valid JSON: {reason.removeprefix('JSON is malformed: ')}"


def _has_lone_surrogate(text: bytes) -> bool:
    try:
        json.dumps(json.loads(text), ensure_ascii=False).encode()
    except UnicodeEncodeError:
        return True
    except (ValueError, RecursionError):
        return False
    return False


def canonical_json(value: Any) -> bytes:
    """One spelling for equal values: keys sorted, no white space. For hashes only, never for sending."""
    return msgspec.json.encode(value, order="sorted")
