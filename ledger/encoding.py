"""An event made ready outside the lock: encoded once, hashed once, every column but its place in the log."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime

import msgspec

from ledger.clock import to_micros
from ledger.codec import body_hash, decode_data, encode_data, without_nul
from ledger.errors import InputError, LedgerCorrupt
from ledger.events import EventData, NewEvent

__all__ = ["EncodedEvent", "encode"]


class EncodedEvent(msgspec.Struct, frozen=True):
    """An event's columns. `entity` is the stream id without its category, `text` the body as it is stored.

    `data` is for the projections: where the body has a NUL, it has U+FFFD.
    """

    stream_id: str
    entity: str
    version: int
    event_id: bytes
    type: str
    schema_version: int
    occurred_at: int
    correlation_id: bytes | None
    causation_id: bytes | None
    text: str
    body: bytes
    data: EventData


def encode(events: Sequence[NewEvent]) -> list[EncodedEvent]:
    """Encode many events. Raises `InputError` for text that has no UTF-8 form (a lone surrogate)."""
    encoded: list[EncodedEvent] = []
    instant: datetime | None = None
    micros = 0
    for event in events:
        if event.occurred_at is not instant:  # events of one step share theirs
            instant, micros = event.occurred_at, to_micros(event.occurred_at)
        kind, schema_version = event.data.TYPE, event.data.SCHEMA_VERSION
        try:
            body = encode_data(event.data)
        except UnicodeEncodeError:
            raise InputError(f"{event.stream_id}: {kind} contains a lone surrogate, which is no text") from None
        text = body.decode()
        encoded.append(
            EncodedEvent(
                event.stream_id,
                event.stream_id.partition("/")[2],
                event.version,
                event.event_id.bytes,
                kind,
                schema_version,
                micros,
                event.correlation_id.bytes if event.correlation_id is not None else None,
                event.causation_id.bytes if event.causation_id is not None else None,
                text,
                body_hash(kind, schema_version, body),
                event.data if "\\u" not in text else _unescaped(event, text),
            )
        )
    return encoded


def _unescaped(event: NewEvent, text: str) -> EventData:
    """What the projections will read of a body that holds escapes; raw JSON may escape what nobody can read."""
    try:
        return decode_data(event.data.TYPE, event.data.SCHEMA_VERSION, without_nul(text))
    except LedgerCorrupt as error:
        raise InputError(f"{event.stream_id}: {error.__cause__}") from error
