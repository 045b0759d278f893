"""A call, noted down at once: spelt out as bytes, so that nothing its caller changes later changes the record.

This is all that the calling thread pays for. What takes longer (hashes, the prefix fingerprint, events) is made of
the note, on another thread.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from contextlib import suppress
from typing import Any, Final

import msgspec

from llm_optimization.recording.calls import Answered, FinishedCall

__all__ = ["Note", "note"]

_MESSAGE_FIELDS: Final = ("type", "content", "name", "tool_calls", "tool_call_id")


class Note(msgspec.Struct, frozen=True):
    """A call, and as JSON its params (`body`; its messages, where it has none) and usage, which may change by now.

    The body is empty where there is neither, or none that can be spelt.
    """

    call: FinishedCall
    tags: dict[str, str]
    body: bytes
    usage: bytes | None


def note(call: FinishedCall) -> Note:
    """What has to be known of the call, and is nobody's to change. Raises nothing."""
    prompt = call.params if call.params is not None else call.messages
    told = call.outcome.usage if isinstance(call.outcome, Answered) else None
    body = _spelt(prompt) if prompt is not None else b""
    tags = dict(call.tags) if isinstance(call.tags, Mapping) else {}
    return Note(call, tags, body, _spelt(told) if told is not None else None)


def _plain(value: Any) -> Any:
    """What JSON has no word for. Never its `repr`: that may be a credential."""
    if hasattr(value, "content") and hasattr(value, "type"):  # a message of LangChain's
        return {field: found for field in _MESSAGE_FIELDS if (found := getattr(value, field, None))}
    if hasattr(value, "model_dump"):
        return value.model_dump()
    return f"<{type(value).__name__}>"


_encode = msgspec.json.Encoder(enc_hook=_plain).encode


def _spelt(value: Any) -> bytes:
    with suppress(Exception):
        return _encode(value)
    with suppress(Exception):  # half surrogates, keys that are no text
        return json.dumps(value, default=_plain, skipkeys=True, separators=(",", ":")).encode()
    return b""
