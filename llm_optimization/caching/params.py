"""Breakpoints in the params of a Messages API call, as they go over the wire."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple

import msgspec

from llm_optimization.caching.manual import cut, holds_breakpoint
from llm_optimization.caching.placement import Ttl
from llm_optimization.caching.plan import Policy, marked, plan
from llm_optimization.caching.positions import Turn

__all__ = ["Marked", "mark_params"]

_BEFORE_MESSAGES = 2  # the turns of the tools and of the system prompt


class Marked(msgspec.Struct, frozen=True):
    """Params with their breakpoints: a new mapping, or the one given where nothing of it changes.

    `markers` counts the breakpoints set here, not those that were there. `below_minimum`: there was something to
    mark, and all of it is too short for the model to cache.
    """

    params: Mapping[str, Any]
    markers: int = 0
    below_minimum: bool = False


def mark_params(params: Mapping[str, Any], policy: Policy) -> Marked:
    """The params with breakpoints as the policy has it. Nothing given is changed; what changes is copied.

    Raises nothing: params that the provider would refuse come back as they are, for it to say why.
    """
    messages = params.get("messages")
    if not isinstance(messages, list) or not all(isinstance(message, Mapping) for message in messages):
        return Marked(params)
    tools = params.get("tools")
    sections = [_Section("tools", tools if isinstance(tools, list) else [])]
    sections += _section("system", params.get("system")), *(_message(message) for message in messages)
    decided = plan(
        [Turn(section.voice, section.blocks) for section in sections],
        [(turn, end) for turn, section in enumerate(sections) for end in section.ends],
        policy,
        _automatic(params.get("cache_control")),
    )
    changed = {
        turn: marked(section.blocks, decided.marks.get(turn, {}))
        for turn, section in enumerate(sections)
        if section.was_cut or turn in decided.marks
    }
    if not changed:
        return Marked(params, below_minimum=decided.below_minimum)
    return Marked(_with(params, messages, changed), decided.markers, decided.below_minimum)


class _Section(NamedTuple):
    """The blocks of tools, system or a message, cut at the breakpoints set by hand (`ends`)."""

    voice: str
    blocks: list[Any]
    ends: tuple[int, ...] = ()
    was_cut: bool = False


def _message(message: Mapping[str, Any]) -> _Section:
    role = message.get("role")
    voice = role if role in ("user", "assistant") else "aside"
    return _section(voice, message.get("content"))


def _section(voice: str, content: object) -> _Section:
    blocks = [{"type": "text", "text": content}] if isinstance(content, str) else content
    if not isinstance(blocks, list):
        return _Section(voice, [])
    if voice == "assistant" or not holds_breakpoint(content):
        return _Section(voice, blocks)
    return _Section(voice, *cut(blocks), was_cut=True)


def _automatic(control: object) -> Ttl | None:
    if not isinstance(control, Mapping):
        return None
    return "1h" if control.get("ttl") == "1h" else "5m"


def _with(params: Mapping[str, Any], messages: list[Any], changed: Mapping[int, list[Any]]) -> dict[str, Any]:
    """The params with other blocks in the changed turns; a turn that has none left is left out."""
    made = dict(params)
    for turn, name in enumerate(("tools", "system")):
        if turn in changed:
            made[name] = changed[turn]
    if made.get("system") == []:
        del made["system"]
    contents = [(message, changed.get(at)) for at, message in enumerate(messages, _BEFORE_MESSAGES)]
    made["messages"] = [
        message if blocks is None else {**message, "content": blocks} for message, blocks in contents if blocks != []
    ]
    return made
