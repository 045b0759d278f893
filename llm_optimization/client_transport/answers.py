"""What an answer tells of its bill while it passes by: a message as JSON, or one told in events.

Whatever arrives is handed on untouched; here it is only read.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from typing import Any, Final, Protocol

import msgspec

from llm_optimization.recording import Answered, CostUnknown, Outcome

__all__ = ["AnswerReader", "EventReader", "MessageReader", "PackedReader"]

_TELLING: Final = (b'"message_start"', b'"message_delta"', b'"error"')


class AnswerReader(Protocol):
    """Reads the body of an answer, piece by piece. May raise on one that nobody foresaw."""

    def feed(self, piece: bytes) -> None:
        """Read on."""
        ...

    def outcome(self) -> Outcome:
        """How the call ended, as far as it was read."""
        ...


class _Message(msgspec.Struct, frozen=True):
    model: str
    id: str | None = None
    stop_reason: str | None = None
    usage: dict[str, Any] | None = None


class _Delta(msgspec.Struct, frozen=True):
    stop_reason: str | None = None


class _Event(msgspec.Struct, frozen=True):
    type: str = ""
    message: _Message | None = None
    delta: _Delta | None = None
    usage: dict[str, Any] | None = None
    error: dict[str, Any] | None = None


_message_of: Final = msgspec.json.Decoder(_Message).decode
_event_of: Final = msgspec.json.Decoder(_Event).decode


class MessageReader:
    """A message in one piece of JSON."""

    def __init__(self) -> None:
        self._body = bytearray()

    def feed(self, piece: bytes) -> None:
        self._body += piece

    def outcome(self) -> Outcome:
        try:
            message = _message_in(self._body)
        except (msgspec.MsgspecError, ValueError):
            return CostUnknown("the answer was cut short, or is no message")
        return Answered(message.model, message.id, message.stop_reason, message.usage)


def _message_in(body: bytearray) -> _Message:
    """Raises `MsgspecError` or `ValueError` if there is none."""
    try:
        return _message_of(body)
    except msgspec.DecodeError:
        # msgspec takes no half of a surrogate pair, even in a text that it skips; what is kept has to be without.
        kept = msgspec.convert(json.loads(body), _Message)
        return _message_of(msgspec.json.encode(kept))


class EventReader:
    """A message told in server-sent events.

    The first event carries the usage of the input, the last but one what became of it: until that one is in, nobody
    knows what the answer costs.
    """

    def __init__(self) -> None:
        self._rest = b""
        self._message: _Message | None = None
        self._usage: dict[str, Any] = {}
        self._stop_reason: str | None = None
        self._error: Mapping[str, Any] | None = None

    def feed(self, piece: bytes) -> None:
        *lines, self._rest = (self._rest + piece).split(b"\n")
        for line in lines:
            self._read(line)

    def outcome(self) -> Outcome:
        self.feed(b"\n")  # the last line may have no end
        if self._message is not None and self._stop_reason is not None:
            return Answered(self._message.model, self._message.id, self._stop_reason, self._usage)
        if self._error is not None:
            return CostUnknown(f"the stream broke off: {self._error.get('type', 'error')}")
        return CostUnknown("the stream was not read to its end")

    def _read(self, line: bytes) -> None:
        if not line.startswith(b"data:") or not any(kind in line for kind in _TELLING):
            return
        try:
            event = _event_of(line[5:])
        except (msgspec.MsgspecError, UnicodeError):
            return
        if event.type == "message_start" and event.message is not None:
            self._message = event.message
            self._add(event.message.usage)
        elif event.type == "message_delta":
            self._add(event.usage)
            self._stop_reason = (event.delta and event.delta.stop_reason) or self._stop_reason
        elif event.type == "error":
            self._error = event.error or {}

    def _add(self, usage: dict[str, Any] | None) -> None:
        """Counts of a later event replace those of an earlier one; null is what it says nothing about."""
        self._usage |= {name: value for name, value in (usage or {}).items() if value is not None}


class PackedReader:
    """An answer under a content encoding, unpacked when it is over."""

    def __init__(self, reader: AnswerReader, unpack: Callable[[bytes], bytes]) -> None:
        self._reader = reader
        self._unpack = unpack
        self._packed = bytearray()

    def feed(self, piece: bytes) -> None:
        self._packed += piece

    def outcome(self) -> Outcome:
        try:
            self._reader.feed(self._unpack(bytes(self._packed)))
        except Exception as error:  # of zlib, brotli or zstandard, as the HTTP client has it
            return CostUnknown(f"the answer cannot be unpacked: {type(error).__name__}")
        return self._reader.outcome()
