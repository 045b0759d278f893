"""The blocks of a prompt in the order in which the provider caches them: tools, system, messages."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, NamedTuple

__all__ = ["Block", "markable", "prompt_blocks"]

_NEVER_MARKABLE = ("thinking", "redacted_thinking")


class Block(NamedTuple):
    """A block with its place in the params (`messages.0.content.1`) and what it speaks as.

    `voice` is `tools`, `system` or the role of its message. A string content is one text block.
    """

    path: str
    voice: str
    value: dict[str, Any]


def prompt_blocks(params: dict[str, Any]) -> Iterator[Block]:
    """Every block of params whose shape is known to be right."""
    for index, tool in enumerate(params.get("tools", ())):
        yield Block(f"tools.{index}", "tools", tool)
    if "system" in params:
        yield from _content("system", "system", params["system"])
    for index, message in enumerate(params["messages"]):
        yield from _content(f"messages.{index}.content", message["role"], message["content"])


def markable(block: dict[str, Any]) -> bool:
    """Whether a block can carry a cache breakpoint: all but thinking and empty text."""
    kind = block.get("type")
    return kind not in _NEVER_MARKABLE and not (kind == "text" and not block.get("text"))


def _content(path: str, voice: str, content: str | list[dict[str, Any]]) -> Iterator[Block]:
    if isinstance(content, str):
        yield Block(path, voice, {"type": "text", "text": content})
        return
    for index, value in enumerate(content):
        yield Block(f"{path}.{index}", voice, value)
