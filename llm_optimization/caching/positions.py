"""A prompt as the provider's cache counts it: positions in prefix order, each with the tokens up to its end.

The order is tools, system, messages. A run of tool_use or of tool_result blocks counts as one position, so that a
breakpoint, which looks back over 20 of them, may look past many more blocks than that.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final, NamedTuple

from llm_optimization.caching.tokens import TOOLS_PROMPT_TOKENS, estimate_tokens, weight
from scheduler.providers.anthropic.blocks import markable

__all__ = ["TAKERS", "Position", "Turn", "positions"]

_RUNS: Final = frozenset({"tool_use", "tool_result"})

TAKERS: Final = frozenset({"tool", "text", "image", "document", "search_result", "tool_use", "tool_result"})
"""The kinds of blocks (`tool`: a definition) that get markers here; the provider takes them on some others too."""


class Turn(NamedTuple):
    """The blocks that one voice says in a row.

    Voices are `tools`, `system` (the prompt before all messages), `user`, `assistant`; another one is nobody special.
    `takers` are the kinds of its blocks that may get a marker.
    """

    voice: str
    blocks: Sequence[Any]
    takers: frozenset[str] = TAKERS


class Position(NamedTuple):
    """A block as the cache sees it.

    `number` counts positions, so that the blocks of a run share one. `tokens` is the estimate for the prompt up to
    and with this block. `free`: a marker may be put here. `eligible`: an automatic breakpoint may stand here.
    `ttls` are the markers that the block and the blocks within it carry already, in prefix order.
    """

    turn: int
    block: int
    number: int
    tokens: int
    free: bool
    eligible: bool
    ttls: tuple[str, ...] = ()


def positions(turns: Sequence[Turn]) -> list[Position]:
    """The positions of a prompt. Blocks of any shape are counted; only known ones are free for a marker."""
    found: list[Position] = []
    unseen = TOOLS_PROMPT_TOKENS if any(turn.voice == "tools" and turn.blocks for turn in turns) else 0
    size = number = 0
    run: str | None = None
    by_code: set[str] = set()
    for index, turn in enumerate(turns):
        for at, block in enumerate(turn.blocks):
            size += weight(block)
            kind = "tool" if turn.voice == "tools" else _kind(block)
            if kind not in _RUNS or kind != run:
                number += 1
            run = kind
            eligible = isinstance(block, dict) and _eligible(kind, block)
            free = eligible and _free(turn, kind, block, by_code)
            found.append(Position(index, at, number, unseen + estimate_tokens(size), free, eligible, _ttls(block)))
    return found


def _kind(block: object) -> str | None:
    """A block may be a dict, or an object of the provider's SDK out of an answer."""
    kind = block.get("type") if isinstance(block, dict) else getattr(block, "type", None)
    return kind if isinstance(kind, str) else None


def _eligible(kind: str | None, block: dict[str, Any]) -> bool:
    if kind != "text":
        return markable(block)
    text = block.get("text")
    return isinstance(text, str) and bool(text) and not text.isspace()


def _free(turn: Turn, kind: str | None, block: dict[str, Any], by_code: set[str]) -> bool:
    """Whether a marker of ours may stand here. The provider takes none on a tool that is loaded later, nor on what
    code that it runs itself called; those calls are remembered in `by_code`, for their results.
    """
    if kind == "tool_use" and _called_by_code(block):
        by_code.add(str(block.get("id")))
        return False
    if kind == "tool_result" and by_code and str(block.get("tool_use_id")) in by_code:
        return False
    if kind == "tool":
        return kind in turn.takers and not block.get("defer_loading")
    return kind in turn.takers


def _called_by_code(block: dict[str, Any]) -> bool:
    caller = block.get("caller")
    return isinstance(caller, dict) and str(caller.get("type", "")).startswith("code_execution")


def _ttls(block: object) -> tuple[str, ...]:
    """Markers within a block (in a tool result's or a document's content), then its own."""
    if not isinstance(block, dict):
        return ()
    ttls: tuple[str, ...] = ()
    source = block.get("source")
    for content in (block.get("content"), source.get("content") if isinstance(source, dict) else None):
        if isinstance(content, list):
            ttls += tuple(ttl for inner in content for ttl in _ttls(inner))
    control = block.get("cache_control")
    if control is None:
        return ttls
    return (*ttls, "1h" if isinstance(control, dict) and control.get("ttl") == "1h" else "5m")
