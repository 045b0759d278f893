"""Standard calls through the official SDK: messages, streams, token counts, models."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

import anthropic
import httpx2
import pytest

from llm_ledger.simulator import RunningSimulator

Json = dict[str, Any]
Params = Callable[..., Json]

TOOL: Json = {
    "name": "weigh",
    "description": "Weighs a thing.",
    "input_schema": {
        "type": "object",
        "properties": {
            "what": {"type": "string", "enum": ["apple", "pear"]},
            "grams": {"type": "integer", "minimum": 5},
            "notes": {"type": "array", "items": {"$ref": "#/$defs/note"}, "minItems": 2},
            "unneeded": {"type": "string"},
        },
        "required": ["what", "grams", "notes"],
        "$defs": {"note": {"anyOf": [{"type": "string", "minLength": 9}, {"type": "null"}]}},
    },
}


def test_a_message_has_the_full_shape(client: anthropic.Anthropic, params: Params) -> None:
    message = client.messages.create(**params())
    assert message.id.startswith("msg_")
    assert (message.role, message.type, message.model) == ("assistant", "message", "claude-opus-5-5")
    assert message.stop_reason == "end_turn"
    assert "\n#### " in message.content[0].text
    assert message.usage.to_dict() == {
        "input_tokens": 4 + 4,
        "cache_creation_input_tokens": 0,
        "cache_read_input_tokens": 0,
        "cache_creation": {"ephemeral_5m_input_tokens": 0, "ephemeral_1h_input_tokens": 0},
        "output_tokens": -(-len(message.content[0].text) // 4),
        "server_tool_use": None,
        "service_tier": "standard",
        "inference_geo": "global",
    }


def test_the_same_prompt_gets_the_same_answer(client: anthropic.Anthropic, params: Params) -> None:
    first, again, other = (client.messages.create(**params(text)) for text in ("one", "one", "two"))
    assert first.content == again.content
    assert first.content != other.content
    assert first.id != again.id


def test_an_alias_answers_under_the_snapshots_name(client: anthropic.Anthropic, params: Params) -> None:
    assert client.messages.create(**params(model="claude-haiku-4-5")).model == "claude-haiku-4-5-20251001"


def test_max_tokens_cuts_the_answer(client: anthropic.Anthropic, params: Params) -> None:
    message = client.messages.create(**params(max_tokens=3))
    assert message.stop_reason == "max_tokens"
    assert message.usage.output_tokens == 3
    assert len(message.content[0].text) == 12


def test_no_tokens_asked_for_warms_the_cache_only(client: anthropic.Anthropic, params: Params) -> None:
    message = client.messages.create(**params(max_tokens=0))
    assert (message.content, message.usage.output_tokens) == ([], 0)


def test_a_stop_sequence_stops(client: anthropic.Anthropic, params: Params) -> None:
    message = client.messages.create(**params(stop_sequences=["####", "never said"]))
    assert (message.stop_reason, message.stop_sequence) == ("stop_sequence", "####")
    assert message.content[0].text.endswith("\n")


def test_the_asynchronous_client_gets_the_same(
    simulator: RunningSimulator, client: anthropic.Anthropic, params: Params
) -> None:
    async def ask() -> tuple[str, str]:
        async with anthropic.AsyncAnthropic(base_url=simulator.base_url, api_key="key-a") as asynchronous:
            message = await asynchronous.messages.create(**params())
            async with asynchronous.messages.stream(**params()) as stream:
                return message.content[0].text, "".join([text async for text in stream.text_stream])

    answered, streamed = asyncio.run(ask())
    assert answered == streamed == client.messages.create(**params()).content[0].text


def test_a_stream_adds_up_to_the_message(client: anthropic.Anthropic, params: Params) -> None:
    message = client.messages.create(**params())
    with client.messages.stream(**params()) as stream:
        streamed = stream.get_final_message()
    assert streamed.content[0].text == message.content[0].text
    assert streamed.usage == message.usage
    assert streamed.stop_reason == message.stop_reason


def test_events_come_in_the_providers_order(http: httpx2.Client, params: Params) -> None:
    answer = http.post("/v1/messages", json=params(stream=True))
    assert answer.headers["content-type"].startswith("text/event-stream")
    names = [line.removeprefix("event: ") for line in answer.text.splitlines() if line.startswith("event: ")]
    assert names[:3] == ["message_start", "ping", "content_block_start"]
    assert set(names[3:-3]) == {"content_block_delta"}
    assert names[-3:] == ["content_block_stop", "message_delta", "message_stop"]


@pytest.mark.parametrize("choice", [{"type": "tool", "name": "weigh"}, {"type": "any"}, {"type": "auto"}, None])
def test_a_tool_is_called_with_valid_arguments(
    client: anthropic.Anthropic, params: Params, choice: Json | None
) -> None:
    fields = {"model": "claude-opus-5", "tools": [TOOL], **({"tool_choice": choice} if choice else {})}
    message = client.messages.create(**params(**fields))
    block = message.content[0]
    assert message.stop_reason == "tool_use"
    assert block.name == "weigh"
    assert block.input == {"what": "apple", "grams": 5, "notes": ["examplexx", "examplexx"]}
    with client.messages.stream(**params(**fields)) as stream:
        assert stream.get_final_message().content == message.content


def test_after_the_tools_result_comes_text(client: anthropic.Anthropic, params: Params) -> None:
    call = client.messages.create(**params(tools=[TOOL])).content[0]
    turns = [
        {"role": "user", "content": "How heavy?"},
        {"role": "assistant", "content": [call.to_dict()]},
        {"role": "user", "content": [{"type": "tool_result", "tool_use_id": call.id, "content": "7 g"}]},
    ]
    message = client.messages.create(**params(tools=[TOOL], messages=turns))
    assert message.stop_reason == "end_turn"


def test_no_tool_is_called_when_none_is_wanted(client: anthropic.Anthropic, params: Params) -> None:
    message = client.messages.create(**params(tools=[TOOL], tool_choice={"type": "none"}))
    assert message.content[0].type == "text"


def test_a_web_search_is_counted(client: anthropic.Anthropic, params: Params) -> None:
    tools = [{"type": "web_search_20250305", "name": "web_search"}]
    usage = client.messages.create(**params(tools=tools)).usage
    assert usage.server_tool_use is not None
    assert usage.server_tool_use.web_search_requests == 1


def test_tokens_are_counted_as_they_are_billed(client: anthropic.Anthropic, params: Params) -> None:
    asked = params("é" * 6, system="s" * 9)
    counted = client.messages.count_tokens(**{k: v for k, v in asked.items() if k != "max_tokens"})
    assert counted.input_tokens == 3 + (3 + 4)
    assert client.messages.create(**asked).usage.input_tokens == counted.input_tokens


def test_models_are_listed_page_by_page(client: anthropic.Anthropic) -> None:
    everything = [model.id for model in client.models.list(limit=1000)]
    assert [model.id for model in client.models.list(limit=4)] == everything
    assert {"claude-opus-5-5", "claude-haiku-5-5", "claude-sonnet-5-5"} <= set(everything)
    newer = client.models.list(limit=2, before_id=everything[5])
    assert [model.id for model in newer.data] == everything[3:5]


def test_a_model_is_found_by_its_alias(client: anthropic.Anthropic) -> None:
    model = client.models.retrieve("claude-opus-4-5")
    assert (model.id, model.line, model.lifecycle) == ("claude-opus-4-5-20251101", "opus", "active")
    with pytest.raises(anthropic.NotFoundError):
        client.models.retrieve("claude-nothing")
