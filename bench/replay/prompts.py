"""How blocks become messages.

The first blocks of the main conversation are its tools and then its system prompt, as long as the session says. Of
the sub-agents nothing is said: what all of a session's begin with is their system prompt. The rest of a
conversation's first prompt is its first user message. Where a later prompt goes on from an earlier one, the new
blocks are the answer (as many as the answer before had tokens, all but one at most), then the user's next message,
which in an agent is mostly a tool's result. Where it changed the end of the earlier prompt, the messages that it
shares as a whole stay, and the rest is one message of the user. Where already the system prompt differs and the
prompt is longer than the one before, it is that conversation under another system prompt: the messages keep their
sizes.

A block's text is 256 characters made of its id, which is 64 tokens as the simulator counts, less the 4 that it adds
to each message. The tokens after the last full block are left out: nothing tells what they are.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from typing import Any, Final, Literal, NamedTuple

from langchain_core.messages import AIMessage, BaseMessage, HumanMessage, SystemMessage

from bench.replay.sessions import BLOCK_TOKENS, Call, Session, shared

__all__ = ["Part", "Prompt", "divided", "prompt_of"]

_BLOCK_BYTES: Final = 4 * BLOCK_TOKENS
_MESSAGE_BYTES: Final = 4 * 4
_VOICES: Final = {"system": SystemMessage, "user": HumanMessage, "assistant": AIMessage}

Cut = Literal["message", "block"]


class Part(NamedTuple):
    """What one voice says: the blocks up to `stop` that no part before holds."""

    voice: Literal["tools", "system", "user", "assistant"]
    stop: int


class Prompt(NamedTuple):
    """A prompt in LangChain's form."""

    tools: list[dict[str, Any]]
    messages: list[BaseMessage]


def divided(session: Session) -> Iterator[tuple[Call, list[Part]]]:
    """Each call of a session with the parts of its prompt; the same beginning always has the same parts."""
    before: list[tuple[Call, list[Part]]] = []
    preambles = {False: _preamble(session), True: _subagents_preamble(session)}
    for call in session.calls:
        parts = _continued(call, before) or [
            part for part in preambles[call.subagent] if part.stop < len(call.blocks)
        ]
        parts = parts if parts and parts[-1].stop == len(call.blocks) else [*parts, Part("user", len(call.blocks))]
        before.append((call, parts))
        yield call, parts


def prompt_of(blocks: Sequence[int], parts: Sequence[Part], cut: Cut = "message") -> Prompt:
    """A call's prompt, a message a part. A content is one text (`message`), or one of each block (`block`)."""
    tools: list[dict[str, Any]] = []
    messages: list[BaseMessage] = []
    start = 0
    voice = ""
    for part in parts:
        texts = [_text(block) for block in blocks[start : part.stop]]
        if part.voice == "tools":
            tools.append(_tool("".join(texts)))
        else:
            if part.voice not in (voice, "system"):
                texts[0] = texts[0][_MESSAGE_BYTES:]
            pieces = texts if cut == "block" else ["".join(texts)]
            messages.append(_VOICES[part.voice]([{"type": "text", "text": piece} for piece in pieces]))
        start, voice = part.stop, part.voice
    return Prompt(tools, messages)


def _continued(call: Call, before: Sequence[tuple[Call, list[Part]]]) -> list[Part]:
    """The parts shared with the earlier prompt that is most like this one, and the answer to that one."""
    likeness = ((shared(call.blocks, other.blocks), at) for at, (other, _) in enumerate(before))
    most, at = max(likeness, default=(0, 0))
    if not most:
        return []
    other, parts = before[at]
    if most < _end_of_preamble(parts) and (rewritten := _rewritten(call, before)):
        other, parts = rewritten
        most = len(other.blocks)
    kept = [part for part in parts if part.stop <= most]
    new = len(call.blocks) - most
    answered = min(other.output_tokens // BLOCK_TOKENS, new - 1) if most == len(other.blocks) else 0
    return [*kept, Part("assistant", most + answered)] if answered > 0 else kept


def _rewritten(call: Call, before: Sequence[tuple[Call, list[Part]]]) -> tuple[Call, list[Part]] | None:
    """The conversation so far, if this call may be it under another system prompt: it is no shorter."""
    last = next(((other, parts) for other, parts in reversed(before) if other.subagent == call.subagent), None)
    return last if last and last[0].model == call.model and len(last[0].blocks) < len(call.blocks) else None


def _end_of_preamble(parts: Sequence[Part]) -> int:
    return max((part.stop for part in parts if part.voice in ("tools", "system")), default=0)


def _preamble(session: Session) -> list[Part]:
    tools = session.tool_tokens // BLOCK_TOKENS
    return [Part("tools", tools), Part("system", (session.tool_tokens + session.system_tokens) // BLOCK_TOKENS)]


def _subagents_preamble(session: Session) -> list[Part]:
    """What the sub-agents' prompts begin with, those of one kind that is: the first block tells."""
    prompts = [call.blocks for call in session.calls if call.subagent]
    common = min((shared(prompts[0], blocks) for blocks in prompts), default=0)
    return [Part("system", common)] if common else []


def _text(block: int) -> str:
    return (f"block-{block}-" * _BLOCK_BYTES)[:_BLOCK_BYTES]


def _tool(text: str) -> dict[str, Any]:
    """A tool whose definition has as many bytes as the text."""
    bare = {"name": "tools", "description": "", "input_schema": {"type": "object", "properties": {}}}
    room = len(text) - len(json.dumps(bare, separators=(",", ":")))
    return bare | {"description": text[:room]}
