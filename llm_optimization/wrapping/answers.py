"""What a call's answer says of itself: who answered, why it stopped, and what was used.

From LangChain's results and chunks, as every integration makes them; `anthropic_answers` hears Anthropic's own.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from langchain_core.messages.ai import UsageMetadata, add_usage
from langchain_core.outputs import ChatGeneration, ChatGenerationChunk, ChatResult

from llm_optimization.recording.calls import Answered
from llm_optimization.wrapping.told_usage import from_counts, with_cache_read

__all__ = ["Answer", "hear_chunk", "hear_result"]

_MODEL: Final = ("model_name", "model", "model_id")
_STOP: Final = ("finish_reason", "stop_reason", "stopReason", "done_reason")
_REPORTED: Final = ("token_usage", "usage")
_COUNTED: Final = "token_count"  # Cohere's


class Answer:
    """What was heard of an answer so far.

    `began`: anything at all; `complete`: all that says what it cost. `raw` is Anthropic's own usage object, `summed`
    LangChain's, `reported` the token usage of another provider in its own words, `counted` its bare counts.
    """

    __slots__ = ("began", "complete", "counted", "message_id", "model", "raw", "reported", "stop_reason", "summed")

    def __init__(self) -> None:
        self.began = self.complete = False
        self.model: str | None = None
        self.message_id: str | None = None
        self.stop_reason: str | None = None
        self.raw: dict[str, Any] | None = None
        self.summed: UsageMetadata | None = None
        self.reported: Mapping[str, Any] | None = None
        self.counted: Mapping[str, Any] | None = None

    def outcome(self, asked_model: str) -> Answered:
        """The answer as it is recorded; a model that did not say its name is the one that was asked."""
        return Answered(self.model or asked_model, self.message_id, self.stop_reason, self._usage())

    def _usage(self) -> Mapping[str, Any] | None:
        if self.raw is not None:
            return self.raw
        summed = self.summed or (self.counted and from_counts(self.counted))
        if not summed:
            return None
        return {"usage_metadata": with_cache_read(summed, self.reported), "reported": self.reported}


def hear_result(answer: Answer, result: ChatResult) -> None:
    """Hear a whole result. Several generations share one usage, which stands at the first of them."""
    answer.began = answer.complete = True
    if result.llm_output:
        _hear_metadata(answer, result.llm_output)
    if result.generations:
        _hear(answer, result.generations[0])


def hear_chunk(answer: Answer, chunk: ChatGenerationChunk) -> None:
    """Hear a piece of an answer. Usage of several pieces adds up, as it does in LangChain's own sum of them."""
    answer.began = True
    _hear(answer, chunk)


def _hear(answer: Answer, generation: ChatGeneration) -> None:
    message = generation.message
    if answer.message_id is None:
        answer.message_id = message.id
    if generation.generation_info:
        _hear_metadata(answer, generation.generation_info)
    if message.response_metadata:
        _hear_metadata(answer, message.response_metadata)
    if told := getattr(message, "usage_metadata", None):
        answer.summed = told if answer.summed is None else add_usage(answer.summed, told)


def _hear_metadata(answer: Answer, told: Mapping[str, Any]) -> None:
    answer.model = _text(told, _MODEL) or answer.model
    answer.stop_reason = _text(told, _STOP) or answer.stop_reason
    answer.message_id = _text(told, ("id",)) or answer.message_id
    for name in _REPORTED:
        if isinstance(reported := told.get(name), Mapping) and reported:
            answer.reported = reported
    if isinstance(counted := told.get(_COUNTED), Mapping):
        answer.counted = counted


def _text(told: Mapping[str, Any], names: tuple[str, ...]) -> str | None:
    for name in names:
        if (value := told.get(name)) and isinstance(value, str):
            return value
    return None
