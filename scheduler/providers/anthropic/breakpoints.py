"""The provider's rules for cache breakpoints.

Source: the prompt caching documentation as of November 2026, and the API's own error texts.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

from ledger.errors import InvalidRequest
from scheduler.providers.anthropic.blocks import Block, markable
from scheduler.providers.anthropic.limits import MOST_BREAKPOINTS

__all__ = ["count_breakpoints"]


def count_breakpoints(blocks: Sequence[Block], automatic: dict[str, Any] | None) -> int:
    """How many breakpoints the blocks carry, in prefix order, with the automatic top-level one.

    Raises `InvalidRequest` for more than four, for a 1-hour breakpoint after a 5-minute one, and for one on a
    block that takes none. The automatic breakpoint stands on the last eligible block, so it comes last.
    """
    count = 0
    five_minutes_at = ""
    for path, ttl in _breakpoints(blocks, automatic):
        count += 1
        if count > MOST_BREAKPOINTS:
            raise InvalidRequest(
                path, f"at most {MOST_BREAKPOINTS} cache breakpoints are allowed; this is number {count}"
            )
        if ttl == "5m":
            five_minutes_at = path
        elif five_minutes_at:
            raise InvalidRequest(
                path, f"a breakpoint with ttl '1h' must not come after one with ttl '5m' (at {five_minutes_at})"
            )
    return count


def _breakpoints(blocks: Sequence[Block], automatic: dict[str, Any] | None) -> Iterator[tuple[str, str]]:
    for block in blocks:
        yield from _inside(block.path, block.value)
    if automatic is not None:
        yield "cache_control", _ttl("cache_control", automatic)


def _inside(path: str, value: dict[str, Any]) -> Iterator[tuple[str, str]]:
    """Breakpoints of a block and, before its own, those of the blocks that a tool result or document holds."""
    yield from _nested(f"{path}.content", value.get("content"))
    source = value.get("source")
    if isinstance(source, dict):
        yield from _nested(f"{path}.source.content", source.get("content"))
    control = value.get("cache_control")
    if control is None:
        return
    place = f"{path}.cache_control"
    if not markable(value):
        what = "an empty text" if value.get("type") == "text" else f"a {value.get('type')} block"
        raise InvalidRequest(place, f"{what} cannot carry a cache breakpoint")
    yield place, _ttl(place, control)


def _ttl(place: str, control: object) -> str:
    if not isinstance(control, dict):
        raise InvalidRequest(place, "must be an object")
    return str(control.get("ttl") or "5m")


def _nested(path: str, content: object) -> Iterator[tuple[str, str]]:
    if isinstance(content, list):
        for index, value in enumerate(content):
            if isinstance(value, dict):
                yield from _inside(f"{path}.{index}", value)
