"""What answers say of themselves, in LangChain's words and in Anthropic's."""

from __future__ import annotations

from typing import Any

import pytest
from anthropic.types import Message, RawMessageDeltaEvent, RawMessageStartEvent
from langchain_core.messages import AIMessage, AIMessageChunk
from langchain_core.outputs import ChatGeneration, ChatGenerationChunk, ChatResult

from llm_optimization.recording import Answered
from llm_optimization.wrapping.answers import Answer, hear_chunk, hear_result
from llm_optimization.wrapping.anthropic_answers import hear_event, hear_message

USAGE = {"input_tokens": 3, "output_tokens": 4, "total_tokens": 7}
RAW = {"input_tokens": 3, "output_tokens": 1, "cache_creation": {"ephemeral_5m_input_tokens": 9}, "new": {"a": 1}}


def message(**more: Any) -> dict[str, Any]:
    given = {"id": "msg_1", "type": "message", "role": "assistant", "model": "claude", "content": [], "usage": RAW}
    return {**given, "stop_reason": None, "stop_sequence": None, **more}


def started() -> Any:
    return RawMessageStartEvent.model_construct(type="message_start", message=Message.construct(**message()))


def ended(reason: str | None, **usage: Any) -> Any:
    return RawMessageDeltaEvent.construct(type="message_delta", delta={"stop_reason": reason}, usage=usage)


def test_a_result_of_openais_form() -> None:
    reported = {"prompt_tokens": 3, "prompt_tokens_details": {"cached_tokens": 1}}
    reply = AIMessage("Yes.", usage_metadata=USAGE, id="run-1")
    output = {"token_usage": reported, "model_name": "gpt-5-2026", "id": "chatcmpl-1"}
    answer = Answer()
    hear_result(
        answer, ChatResult(generations=[ChatGeneration(message=reply, generation_info={"finish_reason": "stop"})],
                           llm_output=output)
    )  # fmt: skip
    usage = {"usage_metadata": {**USAGE, "input_token_details": {"cache_read": 1}}, "reported": reported}
    assert answer.outcome("gpt-5") == Answered("gpt-5-2026", "chatcmpl-1", "stop", usage)
    assert answer.complete


def test_several_generations_share_one_usage() -> None:
    generations = [ChatGeneration(message=AIMessage("Yes.", usage_metadata=USAGE)) for _ in range(3)]
    answer = Answer()
    hear_result(answer, ChatResult(generations=generations))
    assert answer.outcome("m") == Answered("m", None, None, {"usage_metadata": USAGE, "reported": None})


def test_an_answer_without_usage_has_none() -> None:
    for result in (ChatResult(generations=[]), ChatResult(generations=[ChatGeneration(message=AIMessage("Yes."))])):
        answer = Answer()
        hear_result(answer, result)
        assert answer.outcome("m").usage is None


def test_usage_of_chunks_adds_up_as_langchain_adds_it() -> None:
    chunks = [
        AIMessageChunk("", id="run-1", response_metadata={"model_name": "mistral-9"}),
        AIMessageChunk("Yes", usage_metadata=USAGE),
        AIMessageChunk(".", usage_metadata=USAGE, response_metadata={"finish_reason": "stop", "usage": {"x": 1}}),
    ]
    answer = Answer()
    for chunk in chunks:
        hear_chunk(answer, ChatGenerationChunk(message=chunk, generation_info={"logprobs": None}))
    total = (chunks[0] + chunks[1] + chunks[2]).usage_metadata
    usage = {"usage_metadata": total, "reported": {"x": 1}}
    assert answer.outcome("m") == Answered("mistral-9", "run-1", "stop", usage)
    assert not answer.complete  # only the end of the stream tells


def test_a_stream_that_only_counts_is_read_by_its_counts() -> None:
    """As Cohere's, at whose end LangChain sums nothing up."""
    counts = {"total_tokens": 7.0, "input_tokens": 3.0, "output_tokens": 4.0}
    answer = Answer()
    for text, info in (("Yes.", None), ("", {"finish_reason": "COMPLETE", "token_count": counts})):
        hear_chunk(answer, ChatGenerationChunk(message=AIMessageChunk(text), generation_info=info))
    assert answer.outcome("m") == Answered("m", None, "COMPLETE", {"usage_metadata": USAGE, "reported": None})


@pytest.mark.parametrize(
    "counts",
    [{}, {"input_tokens": 3}, {"input_tokens": 3, "output_tokens": None}, {"input_tokens": -1, "output_tokens": 4},
     {"input_tokens": 3.5, "output_tokens": 4}, {"input_tokens": True, "output_tokens": 4},
     {"input_tokens": float("nan"), "output_tokens": 4}, {"input_tokens": float("inf"), "output_tokens": 4}],
)  # fmt: skip
def test_half_a_count_is_no_usage(counts: dict[str, Any]) -> None:
    answer = Answer()
    hear_chunk(answer, ChatGenerationChunk(message=AIMessageChunk(""), generation_info={"token_count": counts}))
    assert answer.outcome("m").usage is None


def read_from_cache(usage: dict[str, Any], reported: dict[str, Any]) -> Any:
    reply = AIMessage("Yes.", usage_metadata=usage)
    answer = Answer()
    hear_result(answer, ChatResult(generations=[ChatGeneration(message=reply)], llm_output={"token_usage": reported}))
    told: Any = answer.outcome("m").usage
    return told["usage_metadata"].get("input_token_details")


def test_what_was_read_from_a_cache_is_found_where_langchain_leaves_it_out() -> None:
    """As of Mistral's whole answers."""
    assert read_from_cache(USAGE, {"prompt_tokens": 3, "prompt_tokens_details": {"cached_tokens": 2}}) == {
        "cache_read": 2
    }
    told = {**USAGE, "input_token_details": {"audio": 1}}
    assert read_from_cache(told, {"prompt_tokens": 3, "prompt_tokens_details": {"cached_tokens": 2}}) == {
        "audio": 1,
        "cache_read": 2,
    }


@pytest.mark.parametrize("details", [{"cache_read": 1}, {"cache_read": 0}, {"priority_cache_read": 1}])
def test_what_langchain_says_of_a_cache_stands(details: dict[str, int]) -> None:
    told = {**USAGE, "input_token_details": details}
    assert read_from_cache(told, {"prompt_tokens": 3, "prompt_tokens_details": {"cached_tokens": 2}}) == details


@pytest.mark.parametrize(
    "reported",
    [
        {"prompt_tokens": 9, "prompt_tokens_details": {"cached_tokens": 2}},
        {"prompt_tokens": 3, "prompt_tokens_details": {"cached_tokens": 4}},
        {"prompt_tokens": 3, "prompt_tokens_details": {"cached_tokens": "2"}},
        {"prompt_tokens": 3, "prompt_tokens_details": {"cached_tokens": 0}},
        {"prompt_tokens": 3, "prompt_tokens_details": None},
    ],
)
def test_what_does_not_agree_is_left_alone(reported: dict[str, Any]) -> None:
    assert read_from_cache(USAGE, reported) is None


def test_anthropics_message_is_heard_as_the_api_gave_it() -> None:
    answer = Answer()
    hear_message(answer, Message.construct(**message(stop_reason="end_turn")))
    assert answer.outcome("m") == Answered("claude", "msg_1", "end_turn", RAW)
    assert answer.complete


def test_anthropics_stream_ends_with_the_usage_of_both_ends() -> None:
    answer = Answer()
    hear_event(answer, started())
    assert answer.began
    assert not answer.complete
    hear_event(answer, ended(None, output_tokens=2))
    assert not answer.complete
    hear_event(
        answer, ended("end_turn", output_tokens=40, input_tokens=None, server_tool_use={"web_search_requests": 1})
    )
    searched = {"server_tool_use": {"web_search_requests": 1}}
    assert answer.outcome("m") == Answered("claude", "msg_1", "end_turn", {**RAW, "output_tokens": 40, **searched})
    assert answer.complete
