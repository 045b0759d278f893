"""A message told as server-sent events, in the provider's order."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import msgspec

__all__ = ["stream_events"]

_PIECE = 24
_FINAL_USAGE = (
    "input_tokens",
    "cache_creation_input_tokens",
    "cache_read_input_tokens",
    "output_tokens",
    "server_tool_use",
    "iterations",
)


def stream_events(message: dict[str, Any]) -> Iterator[bytes]:
    """message_start, then start, deltas and stop of each content block, message_delta, message_stop."""
    opening = {
        **message,
        "content": [],
        "stop_reason": None,
        "stop_sequence": None,
        "usage": {**message["usage"], "output_tokens": min(1, message["usage"]["output_tokens"])},
    }
    yield _event("message_start", message=opening)
    yield _event("ping")
    for index, block in enumerate(message["content"]):
        yield from _block_events(index, block)
    yield _event(
        "message_delta",
        delta={"stop_reason": message["stop_reason"], "stop_sequence": message["stop_sequence"]},
        usage={name: message["usage"][name] for name in _FINAL_USAGE if name in message["usage"]},
    )
    yield _event("message_stop")


def _block_events(index: int, block: dict[str, Any]) -> Iterator[bytes]:
    if block["type"] == "tool_use":
        start = {**block, "input": {}}
        kind, key, text = "input_json_delta", "partial_json", msgspec.json.encode(block["input"]).decode()
    else:
        start = {**block, "text": ""}
        kind, key, text = "text_delta", "text", block["text"]
    yield _event("content_block_start", index=index, content_block=start)
    for begin in range(0, len(text), _PIECE):
        piece = text[begin : begin + _PIECE]
        yield _event("content_block_delta", index=index, delta={"type": kind, key: piece})
    yield _event("content_block_stop", index=index)


def _event(name: str, **fields: Any) -> bytes:
    return b"event: %s\ndata: %s\n\n" % (name.encode(), msgspec.json.encode({"type": name, **fields}))
