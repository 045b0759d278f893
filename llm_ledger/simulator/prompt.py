"""A request's prompt as the cache sees it: blocks in prefix order (tools, system, messages) with their tokens.

Tokens are estimated, deterministically and without tables: a quarter of the UTF-8 bytes of a block's text (of
its JSON where it is no text), rounded up; 1,600 for an image, 3,000 for an encoded document, 4 more for the
first block of each message. `cache_control` is no part of what is counted or compared.
"""

from __future__ import annotations

from collections.abc import Iterator
from hashlib import blake2b
from typing import Any, Literal, NamedTuple

import msgspec

from llm_ledger.simulator.errors import invalid

__all__ = ["Block", "Prompt", "Ttl", "estimate_tokens", "read_prompt", "read_ttl"]

Ttl = Literal["5m", "1h"]

_MESSAGE_TOKENS = 4
_IMAGE_TOKENS = 1_600
_DOCUMENT_TOKENS = 3_000
_UNMARKABLE = ("thinking", "redacted_thinking")
_RUNS = ("tool_use", "tool_result")


class Block(NamedTuple):
    """One position of the prefix. `run` names the kind of block whose runs count as one position."""

    section: str
    data: bytes
    tokens: int
    run: str | None
    ttl: Ttl | None
    markable: bool


class Prompt(msgspec.Struct, frozen=True):
    """The blocks of a request in prefix order, and their tokens together."""

    blocks: list[Block]
    tokens: int

    def prefixes(self, count: int) -> list[bytes]:
        """Hashes of the first 1, 2, … `count` blocks."""
        running = blake2b(digest_size=16)
        digests = []
        for section, data, *_ in self.blocks[:count]:
            running.update(b"%s %d " % (section.encode(), len(data)))
            running.update(data)
            digests.append(running.copy().digest())
        return digests

    def digest(self) -> bytes:
        """Hash of the whole prompt."""
        running = blake2b(digest_size=16)
        for section, data, *_ in self.blocks:
            running.update(b"%s %d " % (section.encode(), len(data)))
            running.update(data)
        return running.digest()


def estimate_tokens(data: bytes) -> int:
    """A quarter of the bytes, rounded up."""
    return -(-len(data) // 4)


def read_ttl(holder: dict[str, Any], path: str) -> Ttl | None:
    """The lifetime that a `cache_control` asks for, None without one."""
    control = holder.get("cache_control")
    if control is None:
        return None
    if not isinstance(control, dict) or control.get("type") != "ephemeral":
        raise invalid(f"{path}cache_control.type: Input should be 'ephemeral'")
    ttl = control.get("ttl") or "5m"
    if ttl not in ("5m", "1h"):
        raise invalid(f"{path}cache_control.ttl: Input should be '5m' or '1h'")
    return "1h" if ttl == "1h" else "5m"


def read_prompt(params: dict[str, Any]) -> Prompt:
    """The prompt of a request. Raises ApiError 400 for blocks that the provider would not take."""
    blocks = [*_tools(params), *_system(params), *_messages(params)]
    return Prompt(blocks, sum(block.tokens for block in blocks))


def _tools(params: dict[str, Any]) -> Iterator[Block]:
    for index, tool in enumerate(params.get("tools") or ()):
        yield _json_block("tools", tool, f"tools.{index}.")


def _system(params: dict[str, Any]) -> Iterator[Block]:
    system = params.get("system") or ()
    if isinstance(system, str):
        system = [{"type": "text", "text": system}]
    for index, block in enumerate(system):
        yield _block("system", block, f"system.{index}.")


def _messages(params: dict[str, Any]) -> Iterator[Block]:
    for position, message in enumerate(params["messages"]):
        content = message["content"]
        if isinstance(content, str):
            content = [{"type": "text", "text": content}]
        extra = _MESSAGE_TOKENS
        for index, block in enumerate(content):
            read = _block(message["role"], block, f"messages.{position}.content.{index}.")
            yield read._replace(tokens=read.tokens + extra)
            extra = 0


def _block(section: str, block: object, path: str) -> Block:
    if not isinstance(block, dict) or not isinstance(block.get("type"), str):
        raise invalid(f"{path}type: Field required")
    if block["type"] == "text":
        return _text_block(section, block, path)
    return _json_block(section, block, path)


def _text_block(section: str, block: dict[str, Any], path: str) -> Block:
    text = block.get("text")
    if not isinstance(text, str):
        raise invalid(f"{path}text: Field required")
    ttl = read_ttl(block, path)
    if not text:
        raise invalid(
            f"{path[:-1]}: cache_control cannot be set for empty text blocks"
            if ttl
            else f"{path[:-1]}: text content blocks must be non-empty"
        )
    data = text.encode()
    return Block(section, data, estimate_tokens(data), None, ttl, markable=True)


def _json_block(section: str, block: dict[str, Any], path: str) -> Block:
    kind = block.get("type", "custom")
    ttl = read_ttl(block, path)
    if ttl and kind in _UNMARKABLE:
        raise invalid(f"{path}cache_control: {kind} blocks cannot be marked for caching")
    bare = {key: value for key, value in block.items() if key != "cache_control"}
    inner = bare.get("content")
    if kind == "tool_result" and isinstance(inner, list):
        marked = [read_ttl(part, path) for part in inner if isinstance(part, dict)]
        ttl = ttl or next(filter(None, marked), None)
        bare["content"] = [_bare(part) for part in inner]
    run = kind if kind in _RUNS else None
    return Block(section, msgspec.json.encode(bare), _weigh(bare), run, ttl, kind not in _UNMARKABLE)


def _bare(part: object) -> object:
    if not isinstance(part, dict):
        return part
    return {key: value for key, value in part.items() if key != "cache_control"}


def _weigh(block: dict[str, Any]) -> int:
    kind = block.get("type")
    if kind == "image":
        return _IMAGE_TOKENS
    source = block.get("source")
    if kind == "document" and isinstance(source, dict) and source.get("type") == "base64":
        return _DOCUMENT_TOKENS
    inner = block.get("content")
    if kind == "tool_result" and isinstance(inner, list):
        return sum(_weigh(part) for part in inner if isinstance(part, dict))
    if kind == "text":
        return estimate_tokens(str(block.get("text", "")).encode())
    return estimate_tokens(msgspec.json.encode(block))
