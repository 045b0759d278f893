"""Where a request asks for caching: explicit markers and the automatic one, and the rules they must keep."""

from __future__ import annotations

from typing import Any

from llm_ledger.simulator.errors import invalid
from llm_ledger.simulator.prompt import Block, Prompt, read_ttl

__all__ = ["MAX_BREAKPOINTS", "place_breakpoints"]

MAX_BREAKPOINTS = 4


def place_breakpoints(params: dict[str, Any], prompt: Prompt) -> Prompt:
    """The prompt with the top-level `cache_control` put on its last block that can carry a marker.

    Raises ApiError 400 for more than four breakpoints, and for one of an hour after one of five minutes.
    """
    prompt = _place_automatic(params, prompt)
    ttls = [block.ttl for block in prompt.blocks if block.ttl]
    if len(ttls) > MAX_BREAKPOINTS:
        raise invalid(f"A maximum of {MAX_BREAKPOINTS} blocks with cache_control may be provided. Found {len(ttls)}.")
    if "5m" in ttls and "1h" in ttls[ttls.index("5m") :]:
        raise invalid(
            "cache_control.ttl: a ttl='1h' cache_control block must not come after a ttl='5m' cache_control "
            "block. Note that blocks are processed in the following order: `tools`, `system`, `messages`."
        )
    return prompt


def _place_automatic(params: dict[str, Any], prompt: Prompt) -> Prompt:
    ttl = read_ttl(params, "")
    if ttl is None:
        return prompt
    blocks = list(prompt.blocks)
    last = next((index for index in reversed(range(len(blocks))) if blocks[index].markable), None)
    if last is None:
        return prompt
    present: Block = blocks[last]
    if present.ttl not in (None, ttl):
        raise invalid("cache_control: the last block already carries a cache_control with another ttl")
    blocks[last] = present._replace(ttl=ttl)
    return Prompt(blocks, prompt.tokens)
