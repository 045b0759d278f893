"""Breakpoints in LangChain messages: on content blocks, which is the form that ChatAnthropic hands on.

A message is of LangChain, a dict with a role, a (role, content) pair, or a text of the user. A tool's message that
gets a breakpoint has one `tool_result` block as its content: every release of langchain-anthropic sends that as it
is, whereas a marker within the result reaches the provider only through the newer ones.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Final, NamedTuple

from langchain_core.messages import AIMessage, BaseMessage, ToolMessage

from ledger.errors import InputError
from llm_optimization.caching.manual import cut, holds_breakpoint
from llm_optimization.caching.placement import LONG_MESSAGE_TOKENS
from llm_optimization.caching.plan import Plan, Policy, marked, plan
from llm_optimization.caching.positions import TAKERS, Turn, positions

__all__ = ["is_worth_caching", "mark_messages"]

_VOICES: Final = {
    "system": "system",
    "developer": "system",
    "human": "user",
    "user": "user",
    "ai": "assistant",
    "assistant": "assistant",
    "tool": "tool",
    "SystemMessageChunk": "system",
    "HumanMessageChunk": "user",
    "AIMessageChunk": "assistant",
    "ToolMessageChunk": "tool",
}
_TAKERS: Final = (TAKERS | {"file"}) - {"tool", "tool_use"}  # what stands in a tool_use block comes from `tool_calls`
_NOTHING: Final[frozenset[str]] = frozenset()


def mark_messages(messages: Sequence[Any], policy: Policy, tools: Iterable[Any] = ()) -> tuple[list[Any], Plan]:
    """The messages with breakpoints as the policy has it, and what was decided. Nothing given is changed.

    `tools` stand before the messages and are only counted. Raises `InputError` for what is no message.
    """
    spoken = [_spoken(message, at) for at, message in enumerate(messages)]
    leading = next((at for at, (voice, _) in enumerate(spoken) if voice != "system"), len(spoken))
    parts = [
        _part(message, "aside" if voice == "system" and at >= leading else voice, content)
        for at, (message, (voice, content)) in enumerate(zip(messages, spoken, strict=True))
    ]
    decided = plan(
        [Turn("tools", [_tool(tool) for tool in tools], _NOTHING), *(part.turn for part in parts)],
        [(at, end) for at, part in enumerate(parts, 1) for end in part.ends],
        policy,
    )
    made = []
    for at, (message, part) in enumerate(zip(messages, parts, strict=True), 1):
        if not part.was_cut and at not in decided.marks:
            made.append(message)
        elif blocks := marked(part.turn.blocks, decided.marks.get(at, {}))[: part.written]:
            made.append(_with_content(message, blocks))
    return made, decided


def is_worth_caching(message: object, index: int, total: int) -> bool:
    """Whether a message, by itself, is worth a breakpoint: a system prompt, the first user message, a long one.

    Without the others, the message at `index` of `total` counts as the first of the user if only one is before it.
    """
    voice, content = _spoken(message, index)
    found = positions([_part(message, voice, content).turn])
    if not any(position.free for position in found):
        return False
    return voice == "system" or (voice == "user" and index <= 1) or found[-1].tokens > LONG_MESSAGE_TOKENS


class _Part(NamedTuple):
    """A message as blocks, of which the first `written` are its content; `ends` were marked by hand."""

    turn: Turn
    written: int
    ends: tuple[int, ...] = ()
    was_cut: bool = False


def _spoken(message: object, at: int) -> tuple[str, Any]:
    """A message's voice and content."""
    if isinstance(message, BaseMessage):
        return _VOICES.get(message.type, "aside"), message.content
    if isinstance(message, str):
        return "user", message
    if isinstance(message, Mapping):
        role = message.get("role", message.get("type"))
        if isinstance(role, str) and ("content" in message or "tool_calls" in message):
            return _VOICES.get(role, "aside"), message.get("content") or ""
    if isinstance(message, tuple) and len(message) == 2 and isinstance(message[0], str):
        return _VOICES.get(message[0], "aside"), message[1]
    raise InputError(
        f"message {at} is {_what(message)}, no message: give LangChain messages, or dicts with role and content"
    )


def _what(thing: object) -> str:
    return "a dict without role and content" if isinstance(thing, Mapping) else f"of type {type(thing).__name__}"


def _part(message: object, voice: str, content: object) -> _Part:
    if voice == "tool":
        return _Part(Turn(voice, _result(message, content), _TAKERS), 1)
    blocks = _blocks(content)
    if voice == "assistant":
        calls = _calls_beside(message, blocks)
        return _Part(Turn(voice, [*blocks, *calls], _takers(message)), len(blocks))
    takers = _NOTHING if voice == "aside" else _TAKERS
    if not holds_breakpoint(blocks):
        return _Part(Turn(voice, blocks, takers), len(blocks))
    pieces = cut(blocks)
    return _Part(Turn(voice, pieces.blocks, takers), len(pieces.blocks), pieces.ends, was_cut=True)


def _blocks(content: object) -> list[Any]:
    """A content as blocks; texts in it become text blocks, an empty one none."""
    if isinstance(content, str):
        return [{"type": "text", "text": content}] if content else []
    if not isinstance(content, list):
        return []
    return [{"type": "text", "text": block} if isinstance(block, str) else block for block in content]


def _result(message: object, content: object) -> list[Any]:
    if isinstance(content, list) and content and all(_is_result(block) for block in content):
        return content
    fields = message if isinstance(message, Mapping) else vars(message) if isinstance(message, ToolMessage) else {}
    failed = fields.get("status") == "error"
    call = fields.get("tool_call_id")
    return [{"type": "tool_result", "content": content, "tool_use_id": call, "is_error": failed}]


def _is_result(block: object) -> bool:
    return isinstance(block, Mapping) and block.get("type") == "tool_result"


def _calls_beside(message: object, blocks: Sequence[Any]) -> list[dict[str, Any]]:
    """The tool calls that are not among the content's blocks, as the blocks that will be made of them, about."""
    fields = message if isinstance(message, Mapping) else vars(message) if isinstance(message, AIMessage) else {}
    calls = fields.get("tool_calls")
    told = {str(block.get("id")) for block in blocks if isinstance(block, dict) and block.get("type") == "tool_use"}
    return [
        {**call, "type": "tool_use"}
        for call in (calls if isinstance(calls, list) else ())
        if isinstance(call, dict) and str(call.get("id")) not in told
    ]


def _takers(message: object) -> frozenset[str]:
    """Content in LangChain's own form (v1) is translated on its way, and loses markers there."""
    if isinstance(message, AIMessage) and message.response_metadata.get("output_version") == "v1":
        return _NOTHING
    return _TAKERS


def _tool(tool: object) -> object:
    """What a tool is counted as: itself where it is a dict, else what is told of it to any provider."""
    if isinstance(tool, Mapping):
        return tool
    from langchain_core.utils.function_calling import convert_to_openai_tool

    try:
        return convert_to_openai_tool(tool)["function"]  # type: ignore[arg-type]
    except Exception:  # whoever wrote the tool decides what its schema raises; it is only counted here
        return repr(tool)


def _with_content(message: Any, blocks: list[Any]) -> Any:
    if isinstance(message, BaseMessage):
        return message.model_copy(update={"content": blocks})
    if isinstance(message, Mapping):
        return {**message, "content": blocks}
    return (message[0] if isinstance(message, tuple) else "human", blocks)
