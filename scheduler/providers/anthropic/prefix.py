"""The prefix fingerprint: which prompts share a beginning, and about how many tokens of it.

Two prompts share a prefix up to an entry exactly when that entry's hash is the same in both. A hash covers every
block so far with what it speaks as (tools, system, a role); it leaves out `cache_control`, so that moving a marker
changes nothing, and the order of a block's own fields, which the provider fixes. Inside a field the order counts
(it does in a tool's schema). The model is not covered, nor `tool_choice`, `thinking` or images by their size.

Tokens are estimated at 3.5 UTF-8 bytes each. Two kinds of bytes say little about tokens: an image counts a flat
1,600 tokens (the documented cost of a full-size one), and base64 data of a document one token per 32 bytes (a page
is about 2,000 tokens and 64 kB).
"""

from __future__ import annotations

from collections.abc import Sequence
from hashlib import sha256
from typing import Any

import msgspec

from ledger.errors import InvalidRequest
from scheduler.providers.anthropic.blocks import Block, markable

__all__ = ["fingerprint"]

# 2 tokens per 7 bytes, kept whole until the end so that the estimate of a prefix never depends on its cuts.
_TOKENS, _PER_BYTES = 2, 7
_IMAGE_BYTES = 1_600 * _PER_BYTES // _TOKENS
_DOCUMENT_BYTES_PER_TOKEN = 32
_HASH_BYTES = 8
_PLAIN_TEXT = frozenset({"type", "text", "cache_control"})

_encode = msgspec.json.Encoder().encode


def fingerprint(blocks: Sequence[Block], *, automatic: bool) -> tuple[tuple[tuple[str, int, bool], ...], int]:
    """Entries (cumulative hash, cumulative tokens, marked) per cacheable block, and the tokens of the whole.

    A block that cannot be marked counts in the entries after it. `automatic`: the top-level breakpoint, which
    marks the last eligible block. `InvalidRequest` for text that UTF-8 cannot carry.
    """
    entries: list[tuple[str, int, bool]] = []
    digest = b""
    size = 0
    for path, voice, value in blocks:
        try:
            content = _canonical(value)
        except UnicodeEncodeError as error:
            raise InvalidRequest(path, "holds half a surrogate pair, which UTF-8 cannot carry") from error
        digest = sha256(b"%b\0%b\0%b" % (digest, voice.encode(), content)).digest()
        size += _weight(value, content)
        if markable(value):
            entries.append((digest[:_HASH_BYTES].hex(), _tokens(size), _marked(value)))
    if automatic and entries:
        entries[-1] = (*entries[-1][:2], True)
    return tuple(entries), _tokens(size)


def _tokens(size: int) -> int:
    return -(-size * _TOKENS // _PER_BYTES)


def _canonical(block: dict[str, Any]) -> bytes:
    if _is_plain(block):
        text: str = block["text"]
        return b"text:" + text.encode()
    return _encode(_unmarked(block))


def _is_plain(block: dict[str, Any]) -> bool:
    """Whether a block is a text and nothing else, which nearly all are: nothing lies within it."""
    if block.get("type") != "text" or not isinstance(block.get("text"), str):
        return False
    return block.keys() <= _PLAIN_TEXT or all(block[name] is None for name in block.keys() - _PLAIN_TEXT)


def _unmarked(block: dict[str, Any]) -> dict[str, Any]:
    """The block with its own fields sorted, without markers and nulls, its own and those of blocks within."""
    return {
        name: _unmarked_within(block[name]) if name in ("content", "source") else block[name]
        for name in sorted(block)
        if name != "cache_control" and block[name] is not None
    }


def _unmarked_within(value: Any) -> Any:
    if isinstance(value, dict):
        return _unmarked(value)
    if isinstance(value, list):
        return [_unmarked_within(item) for item in value]
    return value


def _marked(block: dict[str, Any]) -> bool:
    if block.get("cache_control") is not None:
        return True
    return not _is_plain(block) and any(map(_marked, _within(block)))


def _within(block: dict[str, Any]) -> list[dict[str, Any]]:
    source = block.get("source")
    content = source.get("content") if isinstance(source, dict) else block.get("content")
    return [item for item in content if isinstance(item, dict)] if isinstance(content, list) else []


def _weight(block: dict[str, Any], content: bytes) -> int:
    """Bytes of text that would cost about as many tokens as the block."""
    if _is_plain(block):
        return len(content)
    if block.get("type") == "image":
        return _IMAGE_BYTES
    source = block.get("source")
    data = source.get("data") if isinstance(source, dict) and source.get("type") == "base64" else None
    if isinstance(data, str):
        return len(data) * _PER_BYTES // (_DOCUMENT_BYTES_PER_TOKEN * _TOKENS)
    within = _within(block)
    if within:
        return sum(_weight(item, _canonical(item)) for item in within)
    return len(content)
