"""The wrapper against the simulated provider: the checklist's tests, and what a drop-in has to keep working."""

from __future__ import annotations

import asyncio
import copy
import inspect
import json
from collections.abc import AsyncIterator, Callable
from datetime import UTC, datetime
from decimal import Decimal
from pathlib import Path
from typing import Any
from uuid import UUID

import anthropic
import pytest
from langchain_anthropic import ChatAnthropic
from langchain_core.callbacks import BaseCallbackHandler
from langchain_core.language_models import GenericFakeChatModel
from langchain_core.messages import HumanMessage
from langchain_core.output_parsers import StrOutputParser
from langchain_core.prompts import ChatPromptTemplate
from langchain_core.runnables import ConfigurableField, RunnableLambda
from pydantic import BaseModel, SecretStr

from ledger import Ledger, NewEvent
from ledger.events import RequestAbandoned, RequestCostUnknown, request_stream
from ledger.savings import Period
from ledger.summary import savings
from llm_ledger.simulator import RunningSimulator
from llm_optimization import OptimizationConfig, OptimizedLLMWrapper
from llm_optimization.batching import Names, account_settings, engine_for
from llm_optimization.batching.params import item_params
from llm_optimization.cache_manager import CacheManager
from llm_optimization.capabilities import ProviderCapabilities
from llm_optimization.exceptions import (
    BatchItemFailed,
    ConfigurationError,
    DatabaseUnusable,
    InputError,
    InvalidOptimizationConfig,
    NotWrappable,
)
from tests.support.wrapped_calls import LONG, calls, claude, markers, sending, tool

SETTINGS = {"optimizationEnabled": True, "cachingEnabled": True}
BATCHES = {"optimizationEnabled": True, "batchingEnabled": True, "batchTimeout": 0}


@pytest.fixture(autouse=True)
def _looks_often(monkeypatch: pytest.MonkeyPatch, ledger_url: str) -> None:
    monkeypatch.setenv("LLM_LEDGER_POLL_MIN_SECONDS", "0.05")


@pytest.fixture
async def base(simulator: RunningSimulator) -> AsyncIterator[ChatAnthropic]:
    simulator.reset()
    async with claude(simulator) as model:
        yield model


# --- the checklist ------------------------------------------------------------------------------------------------


def test_wrapper_initialization(base: ChatAnthropic) -> None:
    wrapper = OptimizedLLMWrapper(base, "Anthropic", {**SETTINGS, "cacheTTL": "1h"})
    assert wrapper.base_model is base
    assert wrapper.provider == "Anthropic"
    assert wrapper.config == OptimizationConfig(optimization_enabled=True, caching_enabled=True, cache_ttl=3_600)
    assert wrapper.capabilities == ProviderCapabilities.detect("anthropic")
    assert isinstance(wrapper.cache_manager, CacheManager)
    assert wrapper.cache_manager is wrapper.cache_manager
    assert wrapper.batch_client is not None
    assert wrapper.batch_client is wrapper.batch_client
    with pytest.raises(InvalidOptimizationConfig):
        OptimizedLLMWrapper(base, "anthropic", {"cacheTTL": 7})


async def test_ainvoke_with_cache_enabled(base: ChatAnthropic, simulator: RunningSimulator) -> None:
    llm = OptimizedLLMWrapper(base, "anthropic", SETTINGS)
    with sending(base) as sent:
        first = await llm.ainvoke(LONG)
        second = await llm.ainvoke(LONG)
    assert markers(sent[0].body) > 0
    assert first.usage_metadata["input_token_details"]["cache_read"] == 0
    assert second.usage_metadata["input_token_details"]["cache_read"] > 1_024
    assert simulator.bill()["tokens"]["cache_read"] == second.usage_metadata["input_token_details"]["cache_read"]
    assert isinstance(LONG[0].content, str)  # the prompt itself is as it was


async def test_ainvoke_with_cache_disabled(base: ChatAnthropic) -> None:
    for settings in ({}, {"optimizationEnabled": True}, {"cachingEnabled": True}):
        with sending(base) as sent:
            await OptimizedLLMWrapper(base, "anthropic", settings).ainvoke(LONG)
            await base.ainvoke(LONG)
        assert sent[0].content == sent[1].content
        assert markers(sent[0].body) == 0


async def test_abatch_with_batching_enabled(
    base: ChatAnthropic, simulator: RunningSimulator, ledger_url: str
) -> None:
    llm = OptimizedLLMWrapper(base, "anthropic", BATCHES)
    questions = ["One?", "Two?", "Three?"]
    answers = await llm.abatch(questions)
    assert [type(answer).__name__ for answer in answers] == ["AIMessage"] * 3
    assert [answer.response_metadata["usage"]["service_tier"] for answer in answers] == ["batch"] * 3
    log = simulator.log()
    assert len(log["batches"]) == 1
    assert "messages" not in {name for name, count in log["calls"].items() if count}
    recorded = calls(ledger_url)
    assert [(row.mode, row.status) for row in recorded] == [("batch", "succeeded")] * 3


async def test_abatch_with_batching_disabled(base: ChatAnthropic, simulator: RunningSimulator) -> None:
    answers = await OptimizedLLMWrapper(base, "anthropic", SETTINGS).abatch(["One?", "Two?"])
    assert [answer.response_metadata["usage"]["service_tier"] for answer in answers] == ["standard"] * 2
    assert simulator.log()["batches"] == []


async def test_fallback_on_batch_error(
    base: ChatAnthropic, simulator: RunningSimulator, ledger_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    llm = OptimizedLLMWrapper(base, "anthropic", BATCHES)
    simulator.accident(kind="invalid", custom_id="-1$")
    one, two = await llm.abatch(["One?", "Two?"])
    tiers = [answer.response_metadata["usage"]["service_tier"] for answer in (one, two)]
    assert tiers == ["batch", "standard"]
    assert sorted((row.mode, row.status) for row in calls(ledger_url)) == [
        ("batch", "errored"),
        ("batch", "succeeded"),
        ("standard", "succeeded"),
    ]
    monkeypatch.setenv("LLM_LEDGER_BUDGET_USD", "much")  # no engine can be made
    answers = await llm.abatch(["One?", "Two?"])
    assert [answer.response_metadata["usage"]["service_tier"] for answer in answers] == ["standard"] * 2


async def test_fallback_on_cache_error(base: ChatAnthropic, monkeypatch: pytest.MonkeyPatch) -> None:
    def fails(self: CacheManager, params: Any) -> Any:
        raise RuntimeError("a bug of ours")

    monkeypatch.setattr(CacheManager, "mark_params", fails)
    llm = OptimizedLLMWrapper(base, "anthropic", SETTINGS)
    with sending(base) as sent:
        assert (await llm.ainvoke(LONG)).content
        await base.ainvoke(LONG)
    assert sent[0].content == sent[1].content


async def test_no_error_of_ours_reaches_a_caller(base: ChatAnthropic, monkeypatch: pytest.MonkeyPatch) -> None:
    def fails(*args: Any, **kwargs: Any) -> Any:
        raise RuntimeError("a bug of ours")

    for place in ("prompts.settled", "calls.hear_message", "calls.hear_event", "optimization.Optimization._recorder"):
        monkeypatch.setattr(f"llm_optimization.wrapping.{place}", fails)
    monkeypatch.setattr(CacheManager, "add_cache_markers", fails)
    llm = OptimizedLLMWrapper(base, "anthropic", SETTINGS)
    assert (await llm.ainvoke(LONG)).content
    assert [chunk async for chunk in llm.astream(LONG)]
    fake = OptimizedLLMWrapper(GenericFakeChatModel(messages=iter(["Yes."])), "anthropic", SETTINGS)
    assert fake.invoke(LONG).content == "Yes."
    assert (await OptimizedLLMWrapper(base, "anthropic", {**SETTINGS, **BATCHES}).abatch(["One?"]))[0].content


def test_pass_through_methods(base: ChatAnthropic) -> None:
    llm = OptimizedLLMWrapper(base, "anthropic", SETTINGS)
    assert llm._identifying_params == base._identifying_params
    assert llm._llm_type == base._llm_type == "anthropic-chat"
    assert llm._get_ls_params() == base._get_ls_params()
    assert llm._get_llm_string() == base._get_llm_string()
    assert llm.get_name() == base.get_name()
    assert llm.lc_secrets == base.lc_secrets
    assert llm._get_invocation_params() == base._get_invocation_params()
    assert llm.get_input_jsonschema() == base.get_input_jsonschema()
    assert llm.bind_tools([tool()]).kwargs == base.bind_tools([tool()]).kwargs


def test_wrapper_preserves_identity(base: ChatAnthropic) -> None:
    llm = OptimizedLLMWrapper(base, "anthropic", SETTINGS)
    assert isinstance(llm, ChatAnthropic)
    assert isinstance(llm, OptimizedLLMWrapper)
    assert type(llm).__name__ == "ChatAnthropic"
    assert type(llm).__module__ == ChatAnthropic.__module__
    assert type(llm) is type(OptimizedLLMWrapper(base, "anthropic", SETTINGS))
    assert (llm.model, llm.max_tokens, llm.anthropic_api_key) == (base.model, 50, SecretStr("key"))
    assert type(llm.base_model) is ChatAnthropic
    assert llm == base
    assert base == llm
    assert repr(llm) == repr(base)


# --- wherever a model goes, the wrapping goes with it --------------------------------------------------------------


class Answer(BaseModel):
    """What is known about a word."""

    word: str


def streamed(llm: Any, prompt: Any) -> Any:
    chunks = list(llm.stream(prompt))
    return sum(chunks[1:], chunks[0])


async def astreamed(llm: Any, prompt: Any) -> Any:
    chunks = [chunk async for chunk in llm.astream(prompt)]
    return sum(chunks[1:], chunks[0])


async def events(llm: Any, prompt: Any) -> Any:
    ended = [event async for event in llm.astream_events(prompt, version="v2") if "end" in event["event"]]
    return ended[-1]["data"]["output"]


async def at_once(llm: Any, prompt: Any) -> Any:
    return await llm.ainvoke(prompt)


WAYS = {
    "invoke": lambda llm, prompt: llm.invoke(prompt),
    "ainvoke": at_once,
    "stream": streamed,
    "astream": astreamed,
    "astream_events": events,
    "batch": lambda llm, prompt: llm.batch([prompt])[0],
    "bind_tools": lambda llm, prompt: llm.bind_tools([tool()]).invoke(prompt),
    "with_structured_output": lambda llm, prompt: llm.with_structured_output(Answer, include_raw=True).invoke(prompt)[
        "raw"
    ],
    "with_config": lambda llm, prompt: llm.with_config(tags=["a"]).invoke(prompt),
    "with_retry": lambda llm, prompt: llm.with_retry().invoke(prompt),
    "with_fallbacks": lambda llm, prompt: llm.with_fallbacks([llm]).invoke(prompt),
    "model_copy": lambda llm, prompt: llm.model_copy(update={"max_tokens": 40}).invoke(prompt),
    "deepcopy": lambda llm, prompt: copy.copy(llm).invoke(prompt),
    "configurable": lambda llm, prompt: (
        llm.configurable_fields(max_tokens=ConfigurableField("most"))
        .with_config(configurable={"most": 40})
        .invoke(prompt)
    ),
    "pipe": lambda llm, prompt: (ChatPromptTemplate.from_messages(prompt) | llm).invoke({}),
    "wrapped_again": lambda llm, prompt: OptimizedLLMWrapper(llm, "anthropic", SETTINGS).invoke(prompt),
}


@pytest.mark.parametrize("way", WAYS.values(), ids=WAYS)
async def test_every_way_is_marked_and_recorded_once(
    base: ChatAnthropic, simulator: RunningSimulator, ledger_url: str, way: Callable[[Any, Any], Any]
) -> None:
    llm = OptimizedLLMWrapper(base, "anthropic", SETTINGS)
    with sending(base) as sent:
        answer = way(llm, LONG)
        answer = await answer if inspect.isawaitable(answer) else answer
    assert answer.usage_metadata["output_tokens"] > 0
    bodies = [request.body for request in sent]
    assert bodies == [] or all(map(markers, bodies))  # a copy by its fields has a client of its own
    (row,) = calls(ledger_url)
    assert (row.mode, row.status, row.provider) == ("standard", "succeeded", "anthropic")
    assert row.markers > 0
    with Ledger.open(ledger_url) as ledger:
        assert Decimal(savings(ledger, Period())["cost"]["actual"]) == Decimal(simulator.bill()["total"])


async def test_callbacks_fire_once(base: ChatAnthropic) -> None:
    class Listener(BaseCallbackHandler):
        def __init__(self) -> None:
            self.heard: list[str] = []

        def on_chat_model_start(self, *args: Any, **kwargs: Any) -> None:
            self.heard.append("start")

        def on_llm_new_token(self, token: Any, **kwargs: Any) -> None:
            self.heard.append("token")

        def on_llm_end(self, *args: Any, **kwargs: Any) -> None:
            self.heard.append("end")

    llm = OptimizedLLMWrapper(base, "anthropic", {**SETTINGS, **BATCHES})
    for ask in (
        lambda model, config: model.invoke("One?", config),
        lambda model, config: list(model.stream("One?", config)),
        lambda model, config: model.batch(["One?"], config),
    ):
        ours, theirs = Listener(), Listener()
        ask(llm, {"callbacks": [ours]})
        ask(base, {"callbacks": [theirs]})
        assert ours.heard == theirs.heard


def test_what_is_set_counts_for_the_next_call(base: ChatAnthropic) -> None:
    llm = OptimizedLLMWrapper(base, "anthropic", SETTINGS)
    llm.max_tokens = 7
    with sending(base) as sent:
        llm.invoke("One?")
    assert sent[0].body["max_tokens"] == 7
    assert (llm.base_model.max_tokens, base.max_tokens) == (7, 50)
    assert llm != base


def test_sampling_travels_under_a_version_that_takes_it(base: ChatAnthropic, ledger_url: str) -> None:
    llm = OptimizedLLMWrapper(base, "anthropic", {"optimizationEnabled": True})
    llm.temperature = 0.5
    with sending(base) as sent:
        assert llm.invoke("One?").content
        llm.model_copy(update={"model": "claude-opus-5"}).invoke("One?")
    assert (sent[0].body["temperature"], sent[0].headers["anthropic-version"]) == (0.5, "2023-06-01")
    assert "temperature" not in sent[1].body
    assert {row.status for row in calls(ledger_url)} == {"succeeded"}


def test_settings_are_replaced_by_wrapping_again(base: ChatAnthropic) -> None:
    llm = OptimizedLLMWrapper(OptimizedLLMWrapper(base, "anthropic", SETTINGS), "anthropic", {})
    assert llm.config == OptimizationConfig()
    assert llm.base_model is base


@pytest.mark.parametrize("given", ["gpt-5", None, object()])
def test_what_is_no_chat_model_is_not_wrapped(given: object) -> None:
    with pytest.raises(NotWrappable, match="wrap the model before"):
        OptimizedLLMWrapper(given, "anthropic", {})  # type: ignore[arg-type]


def test_a_bound_model_is_not_wrapped(base: ChatAnthropic) -> None:
    with pytest.raises(NotWrappable, match="wrap the model before"):
        OptimizedLLMWrapper(base.bind_tools([tool()]), "anthropic", {})  # type: ignore[arg-type]


# --- markers that the provider refuses -----------------------------------------------------------------------------


def test_a_breakpoint_set_by_hand_is_never_sent_as_text(base: ChatAnthropic) -> None:
    llm = OptimizedLLMWrapper(base, "anthropic", SETTINGS)
    with sending(base) as sent:
        llm.invoke("Short.[CACHE_BREAKPOINT] Too short to cache?")
    assert "CACHE_BREAKPOINT" not in sent[0].content.decode()


@pytest.mark.parametrize("way", [WAYS["invoke"], WAYS["ainvoke"], WAYS["stream"], WAYS["astream"]])
async def test_refused_markers_are_left_out(
    base: ChatAnthropic, simulator: RunningSimulator, ledger_url: str, way: Callable[[Any, Any], Any]
) -> None:
    simulator.fault(endpoint="messages", kind="status", status=400, message="messages.0: cache_control is not taken")
    llm = OptimizedLLMWrapper(base, "anthropic", SETTINGS)
    with sending(base) as sent:
        answer = way(llm, LONG)
        answer = await answer if inspect.isawaitable(answer) else answer
    assert answer.content
    assert [markers(request.body) > 0 for request in sent] == [True, False]
    assert [row.status for row in calls(ledger_url)] == ["errored", "succeeded"]


async def test_other_refusals_are_the_callers(
    base: ChatAnthropic, simulator: RunningSimulator, ledger_url: str
) -> None:
    simulator.fault(endpoint="messages", kind="status", status=400, message="messages.0: no good", times=2)
    llm = OptimizedLLMWrapper(base, "anthropic", SETTINGS)
    with sending(base) as sent, pytest.raises(anthropic.BadRequestError, match="no good"):
        await llm.ainvoke(LONG)
    assert len(sent) == 1
    (row,) = calls(ledger_url)
    assert (row.status, row.error_type) == ("errored", "invalid_request_error")


# --- batches -------------------------------------------------------------------------------------------------------


async def test_batch_errors_stand_in_their_place(base: ChatAnthropic, simulator: RunningSimulator) -> None:
    llm = OptimizedLLMWrapper(base, "anthropic", {**BATCHES, "fallbackToStandard": False})
    simulator.accident(kind="invalid", custom_id="-1$", times=0)
    one, two, three = await llm.abatch(["One?", "Two?", 3], return_exceptions=True)
    assert one.content
    assert isinstance(two, BatchItemFailed)
    assert isinstance(three, ValueError)  # as the base says of what is no prompt
    with pytest.raises(BatchItemFailed):
        await llm.abatch(["One?", "Two?"])
    assert simulator.bill()["tiers"].keys() == {"batch"}


async def test_a_streaming_model_is_batched_all_the_same(base: ChatAnthropic, simulator: RunningSimulator) -> None:
    llm = OptimizedLLMWrapper(base.model_copy(update={"streaming": True}), "anthropic", BATCHES)
    assert [event async for event in RunnableLambda(llm.abatch).astream_events(["One?", "Two?"], version="v2")]
    assert simulator.bill()["tiers"].keys() == {"batch"}


async def test_one_batch_marks_and_tags_every_request(
    base: ChatAnthropic, simulator: RunningSimulator, ledger_url: str
) -> None:
    llm = OptimizedLLMWrapper(base, "anthropic", {**BATCHES, **SETTINGS, "tags": {"app": "bot"}})
    configs = [{"metadata": {"llm_ledger_tags": {"team": team}}} for team in ("search", "core")]
    await llm.abatch([LONG, LONG], configs)
    rows = calls(ledger_url)
    assert [json.loads(row.tags) for row in rows] == [{"app": "bot", "team": team} for team in ("search", "core")]
    assert all(row.markers for row in rows)


def test_batch_needs_no_loop(base: ChatAnthropic, simulator: RunningSimulator) -> None:
    llm = OptimizedLLMWrapper(base, "anthropic", BATCHES)
    simulator.accident(kind="invalid", custom_id="-1$")
    chain = ChatPromptTemplate.from_template("Say {word}.") | llm.bind(max_tokens=9) | StrOutputParser()
    answers = chain.batch([{"word": "one"}, {"word": "two"}], {"max_concurrency": 1})
    assert all(isinstance(answer, str) and answer for answer in answers)
    assert {tier: group["requests"] for tier, group in simulator.bill()["tiers"].items()} == {
        "batch": 1,
        "standard": 1,
    }


async def test_batch_finds_again_what_was_answered(base: ChatAnthropic, simulator: RunningSimulator) -> None:
    llm = OptimizedLLMWrapper(base, "anthropic", BATCHES)
    config = {"metadata": {"llm_ledger_key": "nightly"}}
    first = await llm.abatch(["One?", "Two?"], config)
    again = await llm.abatch(["Two?", "One?"], config)
    assert [answer.content for answer in again] == [answer.content for answer in reversed(first)]
    assert len(simulator.log()["batches"]) == 1


@pytest.mark.parametrize("reason", [None, "its results expired before they were fetched"])
async def test_what_may_have_been_paid_for_is_not_called_again(
    base: ChatAnthropic, simulator: RunningSimulator, ledger_url: str, reason: str | None
) -> None:
    llm = OptimizedLLMWrapper(base, "anthropic", BATCHES)
    line = Names().line(item_params(base._get_request_payload("One?")))
    engine_for(account_settings(base), llm.config).submit([line], key="nightly")
    (row,) = calls(ledger_url)
    ended: list[Any] = [RequestCostUnknown(reason=reason)] if reason else []
    ended.append(RequestAbandoned(reason=reason or "three attempts failed", attempts=1))
    stream, now = request_stream(row.id), datetime.now(UTC)
    with Ledger.open(ledger_url) as ledger:
        ledger.append(
            NewEvent(stream, row.version + ahead, data, ledger.ids.new(), now, UUID(row.id))
            for ahead, data in enumerate(ended, start=1)
        )
    (answer,) = await llm.abatch(["One?"], {"metadata": {"llm_ledger_key": "nightly"}}, return_exceptions=True)
    if reason is None:
        assert answer.response_metadata["usage"]["service_tier"] == "standard"
        return
    assert isinstance(answer, BatchItemFailed)
    assert "ask again under another key" in str(answer)
    assert simulator.log()["calls"].get("messages", 0) == 0
    (elsewhere,) = await llm.abatch(["One?"], {"metadata": {"llm_ledger_key": "again"}})
    assert elsewhere.response_metadata["usage"]["service_tier"] == "batch"


async def test_an_unusable_ledger_makes_batches_standard_calls(base: ChatAnthropic, tmp_path: Path) -> None:
    settings = {**BATCHES, "databaseUrl": f"sqlite:///{tmp_path}"}
    assert (await OptimizedLLMWrapper(base, "anthropic", settings).abatch(["One?"]))[0].content
    with pytest.raises(DatabaseUnusable):
        await OptimizedLLMWrapper(base, "anthropic", {**settings, "fallbackToStandard": False}).abatch(["One?"])
    assert OptimizedLLMWrapper(base, "anthropic", settings).batch([[HumanMessage("One?")]])[0].content


async def test_under_a_key_nothing_is_called_that_a_batch_may_have_answered(
    base: ChatAnthropic, simulator: RunningSimulator, monkeypatch: pytest.MonkeyPatch
) -> None:
    llm = OptimizedLLMWrapper(base, "anthropic", BATCHES)
    config = {"metadata": {"llm_ledger_key": "nightly"}}
    first = await llm.abatch(["One?", "Two?"], config)
    with monkeypatch.context() as patch:
        patch.setenv("LLM_LEDGER_BUDGET_USD", "much")
        with pytest.raises(ConfigurationError, match="BUDGET"):
            await llm.abatch(["One?", "Two?"], config)
        with pytest.raises(ConfigurationError, match="BUDGET"):
            llm.batch(["One?", "Two?"], config)
        assert (await llm.abatch(["Three?"]))[0].response_metadata["usage"]["service_tier"] == "standard"
    assert [answer.content for answer in await llm.abatch(["One?", "Two?"], config)] == [one.content for one in first]
    assert {tier: group["requests"] for tier, group in simulator.bill()["tiers"].items()} == {
        "batch": 2,
        "standard": 1,
    }


async def test_a_batch_has_one_key(base: ChatAnthropic, simulator: RunningSimulator, ledger_url: str) -> None:
    llm = OptimizedLLMWrapper(base, "anthropic", BATCHES)
    several = [{"metadata": {"llm_ledger_key": key}} for key in ("a", "b")]
    with pytest.raises(InputError, match="one llm_ledger_key; call it once for each of a, b"):
        await llm.abatch(["One?", "Two?"], several)
    await llm.abatch((question for question in ("One?", "Two?")), [{}, {"metadata": {"llm_ledger_key": 20261122}}])
    assert [row.key for row in calls(ledger_url)] == ["20261122"] * 2


async def test_labels_that_are_none_keep_nobody_from_a_batch(
    base: ChatAnthropic, simulator: RunningSimulator, ledger_url: str
) -> None:
    llm = OptimizedLLMWrapper(base, "anthropic", {**BATCHES, "tags": {"app": "bot"}})
    tags = ["search", {"team": 7}, {f"t{number}": "x" for number in range(9)}]
    await llm.abatch(["One?", "Two?", "Three?"], [{"metadata": {"llm_ledger_tags": each}} for each in tags])
    assert simulator.bill()["tiers"].keys() == {"batch"}
    found = [json.loads(row.tags) for row in calls(ledger_url)]
    assert found == [
        {"app": "bot"},
        {"app": "bot", "team": "7"},
        {"app": "bot", **{f"t{number}": "x" for number in range(7)}},
    ]


async def test_whoever_stops_waiting_stops_the_batch_before_it_is_sent(
    base: ChatAnthropic, simulator: RunningSimulator
) -> None:
    llm = OptimizedLLMWrapper(base, "anthropic", BATCHES)
    with pytest.raises(asyncio.TimeoutError):
        await asyncio.wait_for(llm.abatch(["One?"]), 0)
    assert simulator.log()["batches"] == []
