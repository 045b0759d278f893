"""Every call leaves one record, however it ends, and nothing else changes: on real clients and on odd models."""

from __future__ import annotations

import asyncio
import gc
import json
from collections.abc import AsyncIterator, Callable, Iterator
from pathlib import Path
from typing import Any

import anthropic
import pytest
from langchain_anthropic import ChatAnthropic
from langchain_core.language_models import BaseChatModel, GenericFakeChatModel
from langchain_core.messages import AIMessage, AIMessageChunk, BaseMessage, HumanMessage
from langchain_core.outputs import ChatGeneration, ChatGenerationChunk, ChatResult
from langchain_core.runnables import RunnableLambda

from ledger.errors import DatabaseUnusable
from llm_ledger.simulator import RunningSimulator
from llm_optimization import OptimizationConfig, OptimizedLLMWrapper
from llm_optimization.recorded_model import RecordedChatModel
from tests.support.wrapped_calls import LONG, calls, claude, markers, sending

ON = OptimizationConfig(optimization_enabled=True)
USAGE = {"input_tokens": 3, "output_tokens": 4, "total_tokens": 7}


@pytest.fixture
async def base(simulator: RunningSimulator) -> AsyncIterator[ChatAnthropic]:
    simulator.reset()
    async with claude(simulator) as model:
        yield model


# --- how calls end -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("fault", "status", "error_type"),
    [
        ({"kind": "status", "status": 429}, 429, "rate_limit_error"),
        ({"kind": "status", "status": 529}, 529, "overloaded_error"),
        ({"kind": "status", "status": 500, "commit": True}, 500, "call_uncertain"),
        ({"kind": "drop_after"}, None, "call_uncertain"),
    ],
)
async def test_errors_are_the_providers_and_are_recorded(
    base: ChatAnthropic, simulator: RunningSimulator, ledger_url: str, fault: Any, status: int | None, error_type: str
) -> None:
    llm = RecordedChatModel(base, "anthropic", ON)
    simulator.fault(endpoint="messages", times=2, **fault)
    for ask in (lambda: llm.ainvoke("One?"), lambda: asyncio.to_thread(llm.invoke, "One?")):
        with pytest.raises(anthropic.APIError) as raised:
            await ask()
        assert getattr(raised.value, "status_code", None) == status
    assert [(row.status, row.error_type) for row in calls(ledger_url)] == [("errored", error_type)] * 2


@pytest.mark.parametrize(
    "place",
    [{"base_url": "http://127.0.0.1:9"}, {"base_url": "localhost:1"}, {"api_key": "k\n"}],
    ids=["not there", "no scheme", "no header"],
)
async def test_a_provider_that_is_not_reached_bills_nothing(
    simulator: RunningSimulator, ledger_url: str, place: dict[str, str]
) -> None:
    fields: dict[str, Any] = {"api_key": "k", "base_url": simulator.base_url, **place}
    llm = RecordedChatModel(ChatAnthropic(model="claude-sonnet-4-6", max_retries=0, **fields), "anthropic", ON)
    with pytest.raises(anthropic.APIConnectionError):
        llm.invoke("One?")
    (row,) = calls(ledger_url)
    assert row.error_type == "connection_error"


async def _every_piece(llm: BaseChatModel) -> list[Any]:
    return [chunk async for chunk in llm.astream("One?")]


@pytest.mark.parametrize(
    "ask",
    [
        lambda llm: asyncio.to_thread(lambda: _second(lambda: llm.invoke("One?"))),
        lambda llm: asyncio.to_thread(lambda: _second(lambda: list(llm.stream("One?")))),
        lambda llm: _asecond(lambda: llm._agenerate([HumanMessage("One?")])),
        lambda llm: _asecond(lambda: _every_piece(llm)),
    ],
    ids=["invoke", "stream", "_agenerate", "astream"],
)
async def test_an_answer_lost_by_a_second_provider_may_have_been_billed(
    base: ChatAnthropic, simulator: RunningSimulator, ledger_url: str, ask: Any
) -> None:
    simulator.fault(endpoint="messages", kind="drop_after")
    with pytest.raises(anthropic.APIConnectionError):
        await ask(RecordedChatModel(base, "anthropic", ON))
    assert [row.error_type for row in calls(ledger_url)] == ["call_uncertain"]


def _second(ask: Callable[[], Any]) -> Any:
    """Ask this one, now that another provider is out of reach."""
    try:
        _refused()
    except ConnectionRefusedError:
        return ask()


async def _asecond(ask: Callable[[], Any]) -> Any:
    try:
        _refused()
    except ConnectionRefusedError:
        return await ask()


def _refused() -> None:
    raise ConnectionRefusedError


async def test_what_fails_before_it_is_sent_is_no_call(base: ChatAnthropic, ledger_url: str) -> None:
    llm = RecordedChatModel(base, "anthropic", ON)
    with pytest.raises(TypeError, match="no_such_argument"):
        llm.invoke("One?", no_such_argument=1)
    with pytest.raises(TypeError, match="no_such_argument"):
        await llm.ainvoke("One?", no_such_argument=1)
    with pytest.raises(ValueError, match="url"):
        llm.invoke([HumanMessage([{"type": "image_url", "image_url": {"url": "nowhere"}}])])
    assert calls(ledger_url) == []


async def test_a_call_given_up_may_have_been_billed(
    base: ChatAnthropic, simulator: RunningSimulator, ledger_url: str
) -> None:
    llm = RecordedChatModel(base, "anthropic", ON)
    simulator.fault(endpoint="messages", kind="delay", delay_seconds=0.3)
    with pytest.raises(asyncio.TimeoutError):
        await asyncio.wait_for(llm.ainvoke("One?"), 0.1)
    (row,) = calls(ledger_url)
    assert (row.error_type, row.error_message) == (
        "call_uncertain",
        "the call was given up before its answer: CancelledError",
    )


@pytest.mark.parametrize("streams", [False, True])
@pytest.mark.parametrize(
    ("fault", "reason"),
    [
        ({"kind": "drop_after"}, "the answer was lost: "),
        ({"kind": "status", "status": 500}, "the provider answered with status 500, and the SDK asked again"),
        ({"kind": "status", "status": 429}, None),
        ({"kind": "status", "status": 529}, None),
    ],
)
async def test_what_the_sdk_repeats_is_told_if_it_may_have_been_billed(
    simulator: RunningSimulator, ledger_url: str, fault: dict[str, Any], reason: str | None, streams: bool
) -> None:
    async with claude(simulator, max_retries=1) as patient:
        simulator.fault(endpoint="messages", retry_after=0.001, **fault)
        llm = RecordedChatModel(patient, "anthropic", ON)
        assert [chunk async for chunk in llm.astream("One?")] if streams else llm.invoke("One?").content
    statuses = sorted((row.status, (row.error_message or "").startswith(reason or "")) for row in calls(ledger_url))
    assert statuses == ([("errored", True)] if reason else []) + [("succeeded", not reason)]


async def test_a_refusal_hides_no_attempt_that_was_lost(simulator: RunningSimulator, ledger_url: str) -> None:
    async with claude(simulator, max_retries=2) as patient:
        simulator.fault(endpoint="messages", kind="drop_after")
        simulator.fault(endpoint="messages", kind="status", status=429, retry_after=0.001, times=2)
        with pytest.raises(anthropic.RateLimitError):
            await RecordedChatModel(patient, "anthropic", ON).ainvoke("One?")
    assert sorted(row.error_type for row in calls(ledger_url)) == ["call_uncertain", "rate_limit_error"]


class AsksTwice(ChatAnthropic):
    """A host's own model, which looks at its first answer."""

    def _generate(self, *args: Any, **kwargs: Any) -> Any:
        super()._generate(*args, **kwargs)
        return super()._generate(*args, **kwargs)


async def test_a_model_that_asks_twice_within_a_call_has_two_records(
    simulator: RunningSimulator, ledger_url: str
) -> None:
    async with claude(simulator, kind=AsksTwice) as base:
        RecordedChatModel(base, "anthropic", ON).invoke("One?")
    assert [row.status for row in calls(ledger_url)] == ["succeeded", "succeeded"]


# --- streams -------------------------------------------------------------------------------------------------------


async def test_a_stream_that_is_left_may_have_been_billed(base: ChatAnthropic, ledger_url: str) -> None:
    llm = RecordedChatModel(base, "anthropic", ON)
    for _ in llm.stream("One?"):
        break
    gc.collect()
    async for _ in llm.astream("One?"):
        break
    gc.collect()
    async with asyncio.timeout(30):
        while len(rows := calls(ledger_url)) < 2:  # the loop closes the stream that was left in its own time
            await asyncio.sleep(0.01)
    assert [row.error_message for row in rows] == ["the stream was left before its end"] * 2


async def test_a_stream_that_breaks_off_may_have_been_billed(
    base: ChatAnthropic, simulator: RunningSimulator, ledger_url: str
) -> None:
    llm = RecordedChatModel(base, "anthropic", ON)
    simulator.fault(endpoint="messages", kind="truncate", after_bytes=700, length=True, times=2)
    with pytest.raises(Exception, match=r".*"):
        list(llm.stream("One?"))
    with pytest.raises(Exception, match=r".*"):
        [chunk async for chunk in llm.astream("One?")]
    rows = calls(ledger_url)
    assert [row.error_type for row in rows] == ["call_uncertain"] * 2
    assert all("broke off" in row.error_message for row in rows)


async def test_a_stream_cut_where_nobody_notices_may_have_been_billed(
    base: ChatAnthropic, simulator: RunningSimulator, ledger_url: str
) -> None:
    llm = RecordedChatModel(base, "anthropic", ON)
    simulator.fault(endpoint="messages", kind="truncate", after_bytes=700, silent=True)
    assert list(llm.stream("One?"))
    (row,) = calls(ledger_url)
    assert (row.error_type, row.usage) == ("call_uncertain", "[]")


async def test_a_stream_tells_its_cost_without_being_asked_for_usage(base: ChatAnthropic, ledger_url: str) -> None:
    llm = RecordedChatModel(base.model_copy(update={"stream_usage": False}), "anthropic", ON)
    assert all(chunk.usage_metadata is None for chunk in llm.stream("One?"))
    (row,) = calls(ledger_url)
    ((role, *_),) = json.loads(row.usage)
    assert (row.status, role) == ("succeeded", "result")


def test_whoever_reads_a_stream_may_call_meanwhile(base: ChatAnthropic, ledger_url: str) -> None:
    llm = RecordedChatModel(base, "anthropic", ON)
    stream = llm.stream("One?")
    next(stream)
    llm.invoke("Two?")
    list(stream)
    assert [row.status for row in calls(ledger_url)] == ["succeeded"] * 2


# --- labels --------------------------------------------------------------------------------------------------------


async def test_calls_say_their_key_and_tags(base: ChatAnthropic, ledger_url: str) -> None:
    settings = OptimizationConfig(optimization_enabled=True, tags={"app": "bot", "team": "core"})
    llm = RecordedChatModel(base, "anthropic", settings)
    config = {"metadata": {"llm_ledger_tags": {"team": "search"}, "llm_ledger_key": "nightly"}}
    llm.invoke("One?", config)
    await llm.ainvoke("One?", config)
    list(llm.stream("One?", config))
    assert [chunk async for chunk in llm.astream("One?", config)]
    list(RunnableLambda(lambda question: list(llm.stream(question))).stream("One?", config))
    llm.model_copy(update={"streaming": True}).invoke("One?", config)
    await llm.model_copy(update={"streaming": True}).ainvoke("One?", config)
    rows = calls(ledger_url)
    assert [row.key for row in rows] == ["nightly"] * 7
    assert [json.loads(row.tags) for row in rows] == [{"app": "bot", "team": "search"}] * 7
    llm.invoke("One?")
    last = calls(ledger_url)[-1]
    assert (last.key, json.loads(last.tags)) == ("calls", {"app": "bot", "team": "core"})


def test_tags_that_are_none_are_told_and_nothing_else_is_lost(
    base: ChatAnthropic, ledger_url: str, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("llm_optimization.wrapping.mishaps._said", set())
    llm = RecordedChatModel(base, "anthropic", OptimizationConfig(optimization_enabled=True, tags={"app": "bot"}))
    for question in ("One?", "Two?"):
        llm.invoke(question, {"metadata": {"llm_ledger_tags": ["team"], "llm_ledger_key": "nightly"}})
    assert [(row.key, json.loads(row.tags)) for row in calls(ledger_url)] == [("nightly", {"app": "bot"})] * 2
    assert [record.getMessage() for record in caplog.records if record.name == "llm_optimization"] == [
        "llm_ledger_tags of a call are no mapping; calls go on without (said once): TypeError"
    ]


async def test_calls_at_the_same_time_are_kept_apart(base: ChatAnthropic, ledger_url: str) -> None:
    llm = RecordedChatModel(base, "anthropic", ON)

    async def ask(number: int) -> None:
        config = {"metadata": {"llm_ledger_tags": {"number": str(number)}}}
        if number % 2:
            await llm.ainvoke("x" * number, config)
        else:
            assert [chunk async for chunk in llm.astream("x" * number, config)]

    await asyncio.gather(*map(ask, range(1, 13)))
    rows = calls(ledger_url)
    assert sorted((int(json.loads(row.tags)["number"]), row.status) for row in rows) == [
        (number, "succeeded") for number in range(1, 13)
    ]
    by_size = sorted(rows, key=lambda row: (int(json.loads(row.tags)["number"]) % 2, row.size))
    numbers = [int(json.loads(row.tags)["number"]) for row in by_size]
    assert numbers == [*range(2, 13, 2), *range(1, 13, 2)]  # each with its own prompt


# --- what is not recorded, or cannot be ----------------------------------------------------------------------------


@pytest.mark.parametrize("settings", [{}, {"optimizationEnabled": True, "recording": "off"}])
def test_nothing_is_recorded_unless_it_is_wanted(base: ChatAnthropic, ledger_url: str, settings: Any) -> None:
    llm = RecordedChatModel(base, "anthropic", settings)
    with sending(base) as sent:
        llm.invoke(LONG)
        list(llm.stream(LONG))
        base.invoke(LONG)
        list(base.stream(LONG))
    assert [request.content for request in sent[:2]] == [request.content for request in sent[2:]]
    assert calls(ledger_url) == []


async def test_recording_alone_leaves_the_prompt_as_it_is(base: ChatAnthropic, ledger_url: str) -> None:
    settings = OptimizationConfig(optimization_enabled=True, caching_enabled=True, batching_enabled=True)
    llm = RecordedChatModel(base, "anthropic", settings)
    with sending(base) as sent:
        await llm.ainvoke(LONG)
        await base.ainvoke(LONG)
    assert sent[0].content == sent[1].content
    assert markers(sent[0].body) == 0
    assert llm.batch_client is None
    assert len(calls(ledger_url)) == 1


async def test_a_sync_record_is_there_before_the_answer(base: ChatAnthropic, ledger_url: str) -> None:
    llm = RecordedChatModel(base, "anthropic", OptimizationConfig(optimization_enabled=True, recording="sync"))
    await llm.ainvoke("One?")
    llm.invoke("One?")
    from ledger import Ledger
    from ledger.queries import count_requests

    with Ledger.open(ledger_url) as ledger:
        assert count_requests(ledger) == 2


async def test_a_ledger_out_of_reach_keeps_no_answer(base: ChatAnthropic, monkeypatch: pytest.MonkeyPatch) -> None:
    def unusable(settings: Any) -> Any:
        raise DatabaseUnusable("no such place")

    monkeypatch.setattr("llm_optimization.recording.recorder.recorder_for", unusable)
    llm = RecordedChatModel(base, "anthropic", ON)
    assert llm.invoke("One?").content
    assert (await llm.ainvoke("One?")).content
    assert list(llm.stream("One?"))


# --- models of all sorts -------------------------------------------------------------------------------------------


def answer(text: str = "Yes.") -> ChatResult:
    reply = AIMessage(
        text, usage_metadata=USAGE, response_metadata={"model_name": "odd-1-2026", "finish_reason": "stop"}
    )
    return ChatResult(generations=[ChatGeneration(message=reply)])


class Odd(BaseChatModel):
    """The least that a chat model can be, and it takes no run manager."""

    model: str = "odd-1"
    config: str = "its own"

    @property
    def _llm_type(self) -> str:
        return "odd"

    def _generate(self, messages: list[BaseMessage], stop: Any = None, **kwargs: Any) -> ChatResult:
        assert not kwargs
        return answer()


class Streaming(Odd):
    """One whose `_generate` is its stream, as LangChain has several."""

    def _generate(self, messages: list[BaseMessage], stop: Any = None, **kwargs: Any) -> ChatResult:
        text = "".join(str(chunk.message.content) for chunk in self._stream(messages, stop, **kwargs))
        return answer(text)

    def _stream(
        self, messages: list[BaseMessage], stop: Any = None, run_manager: Any = None, **kwargs: Any
    ) -> Iterator[ChatGenerationChunk]:
        yield ChatGenerationChunk(message=AIMessageChunk("Yes"))
        yield ChatGenerationChunk(message=AIMessageChunk(".", usage_metadata=USAGE))


async def asked_every_way(llm: BaseChatModel) -> None:
    assert llm.invoke("One?").content == "Yes."
    assert (await llm.ainvoke("One?")).content == "Yes."
    assert "".join(str(chunk.content) for chunk in llm.stream("One?")) == "Yes."
    assert "".join([str(chunk.content) async for chunk in llm.astream("One?")]) == "Yes."
    assert (await llm.abatch(["One?", "Two?"]))[1].content == "Yes."


@pytest.mark.parametrize("kind", [Odd, Streaming])
@pytest.mark.parametrize("wrapper", [RecordedChatModel, OptimizedLLMWrapper])
async def test_any_chat_model_is_recorded_once(kind: type[Odd], wrapper: Any, ledger_url: str) -> None:
    llm = wrapper(kind(), "ollama", ON)
    await asked_every_way(llm)
    rows = calls(ledger_url)
    assert [(row.provider, row.model, row.status) for row in rows] == [("ollama", "odd-1", "succeeded")] * 6
    assert all(json.loads(row.usage)[0][3:] for row in rows)
    assert llm.config == "its own"
    assert llm.provider == "ollama"
    for name in ("_stream", "_astream", "_agenerate"):
        assert (getattr(type(llm), name) is getattr(BaseChatModel, name)) == (
            getattr(kind, name) is getattr(BaseChatModel, name)
        )


class Native(Streaming):
    """One that makes LangChain's protocol events itself; its stream says the same."""

    def _stream_chat_model_events(self, *args: Any, **kwargs: Any) -> Iterator[Any]:
        raise AssertionError("not recorded that way")


async def test_protocol_events_are_recorded(ledger_url: str) -> None:
    llm = RecordedChatModel(Native(), "ollama", ON)
    if hasattr(BaseChatModel, "stream_events"):  # since langchain-core 1.4
        assert "".join(str(text) for text in llm.stream_events("One?", version="v3").text) == "Yes."
    else:
        llm.invoke("One?")
    assert [row.status for row in calls(ledger_url)] == ["succeeded"]


def test_a_stream_that_does_not_begin_is_recorded(ledger_url: str) -> None:
    class Eager(Odd):
        """Its `_stream` is no generator."""

        def _stream(self, messages: list[BaseMessage], stop: Any = None, **kwargs: Any) -> Any:
            raise LookupError("no stream")

    with pytest.raises(LookupError, match="no stream"):
        list(RecordedChatModel(Eager(), "ollama", ON).stream("One?"))
    (row,) = calls(ledger_url)
    assert row.error_message == "the answer was lost: LookupError"


async def test_a_model_without_a_payload_gets_marked_messages(ledger_url: str) -> None:
    seen: list[Any] = []

    class Claude(Odd):
        """Somebody else's Claude."""

        def _generate(self, messages: list[BaseMessage], stop: Any = None, **kwargs: Any) -> ChatResult:
            seen.extend(messages)
            return answer()

    settings = OptimizationConfig(optimization_enabled=True, caching_enabled=True)
    llm = OptimizedLLMWrapper(Claude(model="claude-sonnet-4-6"), "anthropic", settings)
    llm.invoke(LONG)
    assert any(markers(message.content) for message in seen)
    assert not any(markers(message.content) for message in LONG)


async def test_a_record_lacks_a_cost_where_nobody_reports_usage(ledger_url: str) -> None:
    llm = RecordedChatModel(GenericFakeChatModel(messages=iter(["Yes", "No"])), "ollama", ON)
    assert llm.invoke("One?").content == "Yes"
    assert "".join([str(chunk.content) async for chunk in llm.astream("Two?")]) == "No"
    assert [(row.status, row.usage) for row in calls(ledger_url)] == [("succeeded", "[]")] * 2


def test_what_a_model_raises_is_raised(tmp_path: Path, ledger_url: str) -> None:
    class Broken(Odd):
        """Raises before or after it was billed; who knows."""

        def _generate(self, messages: list[BaseMessage], stop: Any = None, **kwargs: Any) -> ChatResult:
            raise LookupError("choices")

    with pytest.raises(LookupError, match="choices"):
        RecordedChatModel(Broken(), "ollama", ON).invoke("One?")
    (row,) = calls(ledger_url)
    assert (row.error_type, row.error_message) == ("call_uncertain", "the answer was lost: LookupError")
