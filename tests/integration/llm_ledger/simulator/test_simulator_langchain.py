"""LangChain's ChatAnthropic works against the simulator as it does against the provider."""

from __future__ import annotations

import asyncio

import pytest
from langchain_anthropic import ChatAnthropic
from langchain_core.messages import HumanMessage, ToolMessage
from langchain_core.tools import tool
from pydantic import BaseModel

from llm_ledger.simulator import RunningSimulator


class Verdict(BaseModel):
    """A verdict."""

    guilty: bool
    years: int
    reason: str


@tool
def weigh(what: str) -> str:
    """Weighs a thing."""
    return f"{what} weighs 7 g"


@pytest.fixture
def model(simulator: RunningSimulator, monkeypatch: pytest.MonkeyPatch) -> ChatAnthropic:
    monkeypatch.setenv("ANTHROPIC_BASE_URL", simulator.base_url)
    monkeypatch.setenv("ANTHROPIC_API_KEY", "key-a")
    return ChatAnthropic(model="claude-opus-5", max_tokens=256)


def test_invoke_brings_text_and_usage(model: ChatAnthropic) -> None:
    answer = model.invoke("How many?")
    assert "\n#### " in answer.text
    assert answer.usage_metadata is not None
    assert answer.usage_metadata["input_tokens"] == answer.response_metadata["usage"]["input_tokens"] == 7


def test_a_stream_brings_the_same_as_a_call(model: ChatAnthropic) -> None:
    chunks = list(model.stream("How many?"))
    assert len(chunks) > 3
    assert "".join(chunk.text for chunk in chunks) == model.invoke("How many?").text

    async def ask() -> tuple[str, str]:
        pieces = [chunk.text async for chunk in model.astream("How many?")]
        return "".join(pieces), (await model.ainvoke("How many?")).text

    assert len(set(asyncio.run(ask()))) == 1


def test_a_bound_tool_is_called_and_its_result_answered(model: ChatAnthropic) -> None:
    bound = model.bind_tools([weigh])
    question = HumanMessage("How heavy is it?")
    call = bound.invoke([question])
    assert [made["name"] for made in call.tool_calls] == ["weigh"]
    result = ToolMessage(weigh.invoke(call.tool_calls[0]["args"]), tool_call_id=call.tool_calls[0]["id"])
    assert bound.invoke([question, call, result]).tool_calls == []


@pytest.mark.parametrize("method", ["function_calling", "json_schema"])
def test_structured_output_is_valid(model: ChatAnthropic, method: str) -> None:
    verdict = model.with_structured_output(Verdict, method=method).invoke("Well?")
    assert isinstance(verdict, Verdict)


def test_a_cached_prefix_is_read_the_second_time(model: ChatAnthropic) -> None:
    block = {"type": "text", "text": "x" * 4000, "cache_control": {"type": "ephemeral"}}
    ask = [HumanMessage([block, {"type": "text", "text": "tail"}])]
    details = [model.invoke(ask).response_metadata["usage"]["cache_read_input_tokens"] for _ in range(2)]
    assert details == [0, 1004]
