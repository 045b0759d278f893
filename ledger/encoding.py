"""An event made ready outside the lock: encoded once, hashed once, every column but its place in the log."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime
from uuid import UUID

import msgspec

from ledger.clock import to_micros
from ledger.codec import body_hash, decode_data, encode_data, without_nul
from ledger.errors import InputError, LedgerCorrupt
from ledger.events import EventData, NewEvent

__all__ = ["EncodedEvent", "encode"]


class EncodedEvent(msgspec.Struct, frozen=True, gc=False):
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


def encode(events: Iterable[NewEvent]) -> list[EncodedEvent]:
    """Encode many events. Raises `InputError` for text that has no UTF-8 form (a lone surrogate)."""
    encoded: list[EncodedEvent] = []
    instant: datetime | None = None
    correlation: UUID | None = None
    causation: UUID | None = None
    micros, correlation_id, causation_id = 0, None, None
    for event in events:
        # Events of one step share their instant and their cause, events of one request their correlation.
        if event.occurred_at is not instant:
            instant, micros = event.occurred_at, to_micros(event.occurred_at)
        if event.correlation_id is not correlation:
            correlation, correlation_id = event.correlation_id, _bytes(event.correlation_id)
        if event.causation_id is not causation:
            causation, causation_id = event.causation_id, _bytes(event.causation_id)
        stream_id, data = event.stream_id, event.data
        kind, schema_version = data.TYPE, data.SCHEMA_VERSION
        try:
            body = encode_data(data)
        except UnicodeEncodeError:
            raise InputError(f"{stream_id}: {kind} contains a lone surrogate, which is no text") from None
        text = body.decode()
        encoded.append(
            EncodedEvent(
                stream_id,
                stream_id.partition("/")[2],
                event.version,
                event.event_id.int.to_bytes(16),
                kind,
                schema_version,
                micros,
                correlation_id,
                causation_id,
                text,
                body_hash(kind, schema_version, body),
                data if "\\u" not in text else _unescaped(event, text),
            )
        )
    return encoded


def _bytes(identity: UUID | None) -> bytes | None:
    return identity.bytes if identity is not None else None


def _unescaped(event: NewEvent, text: str) -> EventData:
    """What the projections will read of a body that holds escapes; raw JSON may escape what nobody can read."""
    try:
        return decode_data(event.data.TYPE, event.data.SCHEMA_VERSION, without_nul(text))
    except LedgerCorrupt as error:
        raise InputError(f"{event.stream_id}: {error.__cause__}") from error
