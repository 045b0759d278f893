"""How many tokens a block has, about: 3.5 UTF-8 bytes each, linear in the prompt.

The numbers are those of the scheduler's prefix fingerprint (a test holds the two equal), without its hashes and
without its demands: here a block may be anything. An image counts a flat 1,600 tokens, base64 data of a document
one token per 32 bytes. docs/caching.md measures the error against token counts that the provider reported.
"""

from __future__ import annotations

from typing import Any, Final

import msgspec

__all__ = ["TOOLS_PROMPT_TOKENS", "estimate_tokens", "weight"]

TOOLS_PROMPT_TOKENS: Final = 300
"""What the provider says of its own before the tools of a prompt that has any; 300 to 615 tokens were reported."""

# 2 tokens per 7 bytes, kept whole until the end so that the estimate of a prefix never depends on its cuts.
_TOKENS: Final = 2
_PER_BYTES: Final = 7
_IMAGE_BYTES: Final = 1_600 * _PER_BYTES // _TOKENS
_DOCUMENT_BYTES_PER_TOKEN: Final = 32
_IMAGES: Final = ("image", "image_url")
_OF_TEXT: Final = frozenset({"type", "text", "cache_control"})

_encode = msgspec.json.Encoder(enc_hook=repr).encode


def estimate_tokens(size: int) -> int:
    """Tokens of `size` bytes of text, rounded up.

    >>> estimate_tokens(7_000)
    2000
    """
    return -(-size * _TOKENS // _PER_BYTES)


def weight(block: object) -> int:
    """Bytes of text that would cost about as many tokens as the block. Raises nothing.

    >>> weight({"type": "text", "text": "Grüße", "cache_control": {"type": "ephemeral"}})
    12
    """
    if not isinstance(block, dict):
        return _json_bytes(block)
    kind = block.get("type")
    if kind == "text" and isinstance(text := block.get("text"), str) and _is_plain(block):
        return len("text:") + _bytes(text)
    if kind in _IMAGES:
        return _IMAGE_BYTES
    source = block.get("source")
    if isinstance(source, dict) and source.get("type") == "base64" and isinstance(source.get("data"), str):
        return len(source["data"]) * _PER_BYTES // (_DOCUMENT_BYTES_PER_TOKEN * _TOKENS)
    if within := _within(block, source):
        return sum(map(weight, within))
    return _json_bytes(
        {name: value for name, value in block.items() if name != "cache_control" and value is not None}
    )


def _is_plain(block: dict[str, Any]) -> bool:
    return len(block) == 2 or all(name in _OF_TEXT or value is None for name, value in block.items())


def _within(block: dict[str, Any], source: object) -> list[Any]:
    content = source.get("content") if isinstance(source, dict) else block.get("content")
    return [item for item in content if isinstance(item, dict)] if isinstance(content, list) else []


def _bytes(text: str) -> int:
    return len(text) if text.isascii() else len(text.encode(errors="surrogatepass"))


def _json_bytes(value: object) -> int:
    try:
        return len(_encode(value))
    except (TypeError, ValueError, RecursionError, OverflowError):
        return _bytes(repr(value))
