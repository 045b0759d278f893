"""`[CACHE_BREAKPOINT]` in a text: what stands before it is worth caching, so says whoever wrote the prompt.

The marker is taken out and the text becomes blocks that end where the markers stood. A piece of nothing but white
space makes no block (the provider refuses such blocks); a marker with no text before it in its block speaks for the
block before.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, Final, NamedTuple

__all__ = ["BREAKPOINT", "Cut", "cut", "holds_breakpoint"]

BREAKPOINT: Final = "[CACHE_BREAKPOINT]"


class Cut(NamedTuple):
    """Blocks without markers in their texts; `ends` are the indexes of those before a marker, -1 for the blocks of
    whoever spoke before.
    """

    blocks: list[Any]
    ends: tuple[int, ...]


def holds_breakpoint(content: object) -> bool:
    """Whether a content, a text or blocks, holds a marker in a text of its own (not within a tool's result)."""
    if isinstance(content, str):
        return BREAKPOINT in content
    return isinstance(content, list) and any(_text_with_breakpoint(block) is not None for block in content)


def cut(blocks: Iterable[Any]) -> Cut:
    """Blocks cut at the markers in their texts. Other fields of a block stay on every piece, a `cache_control` on
    the last.

    >>> cut([{"type": "text", "text": "rules[CACHE_BREAKPOINT]question"}])
    Cut(blocks=[{'type': 'text', 'text': 'rules'}, {'type': 'text', 'text': 'question'}], ends=(0,))
    """
    made: list[Any] = []
    ends: list[int] = []
    for block in blocks:
        text = _text_with_breakpoint(block)
        if text is None:
            made.append(block)
            continue
        rest = dict(block)
        control = rest.pop("cache_control", None)
        before = len(made)
        for number, piece in enumerate(text.split(BREAKPOINT)):
            if number:
                ends.append(len(made) - 1)
            if piece and not piece.isspace():
                made.append({**rest, "text": piece})
        if control is not None and len(made) > before:
            made[-1]["cache_control"] = control
    return Cut(made, tuple(dict.fromkeys(ends)))


def _text_with_breakpoint(block: object) -> str | None:
    text = block.get("text") if isinstance(block, dict) and block.get("type") == "text" else None
    return text if isinstance(text, str) and BREAKPOINT in text else None
