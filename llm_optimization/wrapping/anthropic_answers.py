"""Anthropic's own messages and stream events, heard before LangChain makes something else of them.

LangChain's usage leaves out what an exact price needs: iterations, tool use, the lifetime of cache writes. So the raw
object is taken, as the API gave it.
"""

from __future__ import annotations

from typing import Any

from llm_optimization.wrapping.answers import Answer

__all__ = ["hear_event", "hear_message"]


def hear_message(answer: Answer, message: Any) -> None:
    """Hear a whole message: an SDK model, or the mapping that one is made of."""
    _introduced(answer, message)
    answer.stop_reason = message.stop_reason
    answer.complete = True


def hear_event(answer: Answer, event: Any) -> None:
    """Hear one event of a stream. The first carries the input's usage, the last but one what became of it."""
    kind = event.type
    if kind == "message_start":
        _introduced(answer, event.message)
    elif kind == "message_delta":
        answer.began = True
        if (delta := _plain(getattr(event, "usage", None))) is not None:
            known = {name: value for name, value in delta.items() if value is not None}
            answer.raw = {**(answer.raw or {}), **known}
        if (reason := getattr(event.delta, "stop_reason", None)) is not None:
            answer.stop_reason = reason
            answer.complete = True


def _introduced(answer: Answer, message: Any) -> None:
    answer.began = True
    answer.model = message.model
    answer.message_id = message.id
    answer.raw = _plain(message.usage)


def _plain(usage: Any) -> dict[str, Any] | None:
    return None if usage is None else usage.model_dump(mode="json", exclude_unset=True)
