"""`AnthropicBatchClient` in front of a provider over HTTP, on a ledger: what arrives there, what comes back."""

from __future__ import annotations

import asyncio
import json
import os
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from dataclasses import replace
from datetime import timedelta
from decimal import Decimal
from hashlib import sha256
from typing import Any

import pytest
from langchain_anthropic import ChatAnthropic
from langchain_core.messages import AIMessage, HumanMessage, SystemMessage
from langchain_core.prompt_values import StringPromptValue
from langchain_core.runnables import RunnableLambda

from ledger import Ledger
from ledger.events import BatchPlanned, BatchPolled, RequestRecorded, RequestRetryScheduled
from ledger.purge import purge
from ledger.savings import Period
from ledger.summary import savings
from llm_ledger.simulator import RunningSimulator
from llm_optimization.batch_client import AnthropicBatchClient
from llm_optimization.batching.params import item_params
from llm_optimization.capabilities import ProviderCapabilities
from llm_optimization.exceptions import (
    BatchIncomplete,
    BatchItemFailed,
    ConfigurationError,
    MissingIntegration,
    NotWrappable,
    ProviderRefused,
    SubmissionHeld,
    UnknownId,
    UnsupportedProvider,
)
from tests.support.batching import KEY, MODEL, NOW, events_of, hurry, params, slow_provider

ANTHROPIC = ProviderCapabilities.detect("anthropic")

INVALID = {"metadata": {"user_id": "simulate:invalid"}}


@pytest.fixture(autouse=True)
def url(ledger_url: str, simulator: RunningSimulator, monkeypatch: pytest.MonkeyPatch) -> str:
    """An empty ledger, and a provider that has forgotten everything."""
    simulator.reset()
    hurry(monkeypatch, simulator)
    return ledger_url


@pytest.fixture(scope="module")
def _slow() -> Iterator[RunningSimulator]:
    with slow_provider() as simulator:
        yield simulator


@pytest.fixture
def slow(_slow: RunningSimulator, monkeypatch: pytest.MonkeyPatch) -> RunningSimulator:
    _slow.reset()
    hurry(monkeypatch, _slow)
    return _slow


def client(chat_model: Any = None, **changes: Any) -> AnthropicBatchClient:
    return AnthropicBatchClient(ANTHROPIC, replace(NOW, **changes), model=chat_model)


def chat(simulator: RunningSimulator, **changes: Any) -> ChatAnthropic:
    return ChatAnthropic(
        **{"model": MODEL, "max_tokens": 16, "api_key": KEY, "base_url": simulator.base_url, "timeout": 10, **changes}
    )


async def polled(url: str, times: int) -> None:
    """Wait until the ledger says that the provider was asked so often."""
    async with asyncio.timeout(30):
        while len(await asyncio.to_thread(events_of, url, BatchPolled)) < times:
            await asyncio.sleep(0.02)


async def test_submit_batch(url: str, simulator: RunningSimulator) -> None:
    """The provider gets one batch, whose body is these params byte for byte, as the model orders them."""
    model = chat(simulator, temperature=0.5)
    messages = [SystemMessage("Be brief."), HumanMessage("What is 2 + 2?")]
    asked = client(model)
    key = await asked.submit_batch([messages, "What is 3 + 3?"], tags={"team": "search"})
    assert simulator.log()["batches"] == []  # on record, and nothing more

    assert await asked.poll_until_complete(key) == {"succeeded": 2}
    (batch,) = simulator.log()["batches"]
    nonce = batch["custom_ids"][0].rpartition("-")[0]
    shared = {"model": MODEL, "max_tokens": 16}
    items = [
        shared | {"messages": [{"role": "user", "content": "What is 2 + 2?"}], "system": "Be brief."},
        shared | {"messages": [{"role": "user", "content": "What is 3 + 3?"}]},
    ]
    sent = [item_params(model._get_request_payload(item)) for item in (messages, "What is 3 + 3?")]
    assert sent == [{**item, "temperature": 0.5} for item in items]
    requests = [{"custom_id": f"{nonce}-{index}", "params": item} for index, item in enumerate(sent)]
    body = json.dumps({"requests": requests}, separators=(",", ":")).encode()
    assert batch["body_sha256"] == sha256(body).hexdigest()
    assert [event.tags for event in events_of(url, RequestRecorded)] == [{"team": "search"}] * 2


async def test_poll_status_in_progress(url: str, slow: RunningSimulator) -> None:
    """It goes on asking while the provider works, and whoever waits no longer loses nothing."""
    asked = client()
    key = await asked.submit_batch([params("a"), params("b")])
    waiting = asyncio.ensure_future(asked.poll_until_complete(key))
    await polled(url, 2)
    assert not waiting.done()
    with pytest.raises(BatchIncomplete) as incomplete:
        await asked.get_results(key)
    assert len(incomplete.value.outstanding) == 2
    waiting.cancel()

    with pytest.raises(BatchIncomplete, match="2 requests under key"):
        await asked.poll_until_complete(key, timeout=0.05)
    slow.advance(61)
    assert await asked.poll_until_complete(key) == {"succeeded": 2}
    assert slow.log()["creates_seen"] == 1


async def test_poll_status_completed(simulator: RunningSimulator) -> None:
    """It returns as soon as every request has ended, and another client finds them under the same key."""
    asked = client()
    key = await asked.submit_batch([params("a"), params("b", **INVALID)])
    assert await asked.poll_until_complete(key) == {"succeeded": 1, "errored": 1}
    assert await client().poll_until_complete(key) == {"succeeded": 1, "errored": 1}
    assert simulator.log()["creates_seen"] == 1


async def test_poll_status_failed(simulator: RunningSimulator) -> None:
    """A batch that is refused is the provider's error; its requests stay, and go with the next attempt."""
    simulator.fault(endpoint="batches.create", kind="status", status=401, times=3)
    asked = client()
    key = await asked.submit_batch([params("a")])
    with pytest.raises(ProviderRefused, match="does not accept the credential") as refused:
        await asked.poll_until_complete(key)
    assert refused.value.status == 401
    simulator.clear_faults()
    assert await asked.poll_until_complete(key) == {"succeeded": 1}


async def test_get_results(simulator: RunningSimulator) -> None:
    """Every input gets its own answer, in its own place, in the shape that fits it."""
    items: list[Any] = [
        [HumanMessage("one")],
        params("two"),
        "three",
        StringPromptValue(text="four"),
        [{"role": "user", "content": "five"}],
        params("two"),
    ]
    asked = client()
    key = await asked.submit_batch(items)
    await asked.poll_until_complete(key)
    results = await asked.get_results(key)
    kinds = [AIMessage, dict, AIMessage, AIMessage, AIMessage, dict]
    assert [type(result) for result in results] == kinds
    assert results[1]["role"] == "assistant"
    assert results[1]["id"] != results[5]["id"]  # the same question twice is asked twice

    elsewhere = await client().get_results(key)
    assert [message.content for message in elsewhere] == [
        result["content"][0]["text"] if isinstance(result, dict) else result.content for result in results
    ]


async def test_the_answer_is_what_the_model_itself_gives(simulator: RunningSimulator) -> None:
    model = chat(simulator)
    (answer,) = await client(model).process_batch(["What is 2 + 2?"])
    bare = await model.ainvoke("What is 2 + 2?")
    assert (answer.content, answer.usage_metadata) == (bare.content, bare.usage_metadata)
    differs = {"id", "usage", "service_tier"}
    of_batch, of_call = answer.response_metadata, bare.response_metadata
    assert of_batch.keys() == of_call.keys()
    assert all(of_batch[name] == of_call[name] for name in of_call.keys() - differs)
    assert of_batch["usage"]["service_tier"] == "batch"


async def test_partial_failures(simulator: RunningSimulator) -> None:
    """What fails fails alone, before the submission or after it; the order is kept."""
    items = [params("a"), params("b", **INVALID), {"model": MODEL, "max_tokens": 16}, params("c"), 7]
    results = await client().process_batch(items, return_exceptions=True)
    assert [type(result) for result in results] == [dict, BatchItemFailed, BatchItemFailed, dict, BatchItemFailed]
    refused, incomplete, strange = results[1], results[2], results[4]
    assert (refused.kind, refused.error_type) == ("errored", "invalid_request_error")
    assert "told to be invalid" in refused.message
    assert (incomplete.kind, incomplete.error_type) == ("errored", "invalid_request_error")
    assert "messages" in incomplete.message
    assert "no input of a chat model" in strange.message
    assert simulator.log()["batches"][0]["request_count"] == 3

    with pytest.raises(BatchItemFailed, match="told to be invalid"):
        await client().process_batch(items)


async def test_exponential_backoff(url: str, slow: RunningSimulator, monkeypatch: pytest.MonkeyPatch) -> None:
    """The intervals between two questions grow by half each time, less up to a fifth by chance, up to a bound."""
    monkeypatch.setenv("LLM_LEDGER_POLL_MIN_SECONDS", "0.05")
    asked = client()
    waiting = asyncio.ensure_future(asked.process_batch([params("a")]))
    await polled(url, 6)
    slow.advance(61)
    await waiting
    with Ledger.open(url) as ledger:
        polls = [event for event in ledger.events() if isinstance(event.data, BatchPolled)]
    intervals = [(poll.data.next_poll_at - poll.occurred_at).total_seconds() for poll in polls]
    most = [min(0.05 * 1.5**poll, 0.2) for poll in range(len(intervals))]
    late = 0.03  # between the two instants of one event the machine may have been busy
    assert all(0.8 * bound - late <= one <= bound for one, bound in zip(intervals, most, strict=True)), intervals


async def test_what_fails_in_passing_is_tried_in_further_batches(url: str, simulator: RunningSimulator) -> None:
    simulator.accident(kind="overloaded", times=2)
    assert len(await client().process_batch([params("a")])) == 1
    assert simulator.log()["creates_seen"] == 3
    assert len(events_of(url, RequestRetryScheduled)) == 2


async def test_after_three_attempts_it_is_given_up(simulator: RunningSimulator) -> None:
    simulator.accident(kind="api_error", times=0)
    with pytest.raises(BatchItemFailed, match="api_error") as failed:
        await client().process_batch([params("a")])
    assert failed.value.kind == "abandoned"
    assert simulator.log()["creates_seen"] == 3


async def test_nothing_is_asked_for_nothing(simulator: RunningSimulator) -> None:
    assert await client().process_batch([]) == []
    assert simulator.log()["calls"]["batches.list"] == 0


async def test_the_same_key_finds_the_answers_again(simulator: RunningSimulator) -> None:
    """In any order, with any additions; what is new is all that is paid for."""
    first = await client().process_batch([params("a"), params("b"), params("a")], key="nightly")
    bill = simulator.bill()["total"]
    again = await client().process_batch([params("b"), params("a"), params("a")], key="nightly")
    assert again == [first[1], first[0], first[2]]
    assert simulator.bill()["total"] == bill
    more = await client().process_batch([params("c"), params("b")], key="nightly")
    assert more[1] == first[1]
    assert simulator.bill()["requests"] == 4


async def test_marking_prompts_makes_no_other_request_of_them(simulator: RunningSimulator) -> None:
    asked = params("a", system="You are a careful tutor. " * 1_500)
    (plain,) = await client().process_batch([asked], key="nightly")
    (marked,) = await client(caching_enabled=True).process_batch([asked], key="nightly")
    assert marked == plain
    await client(caching_enabled=True).process_batch([asked], key="another")
    assert simulator.bill()["requests"] == 2
    assert simulator.bill()["tokens"]["cache_write_5m"] > 0


async def test_without_a_key_a_new_one_is_made_and_told(caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level("INFO"):
        (answer,) = await client().process_batch([params("a")])
    (said,) = [record.getMessage() for record in caplog.records if "under key" in record.getMessage()]
    key = next(word.strip(";") for word in said.split() if word.count("-") == 4)
    assert [await client(model=None).get_results(key)] == [[answer]]


DIES = """
import asyncio, json, sys
from llm_optimization.batch_client import AnthropicBatchClient
from llm_optimization.capabilities import ProviderCapabilities
from tests.support.batching import NOW
client = AnthropicBatchClient(ProviderCapabilities.detect("anthropic"), NOW)
asyncio.run(client.process_batch(json.loads(sys.argv[1]), key="nightly"))
"""


async def test_a_process_that_dies_in_it_loses_nothing(url: str, slow: RunningSimulator) -> None:
    """Killed while it waits. The next one finds the batch under the same key; the provider is paid once."""
    items = [params("a"), params("b")]
    environment = {**os.environ, "LLM_LEDGER_LEASE_SECONDS": "0.5"}
    process = subprocess.Popen([sys.executable, "-c", DIES, json.dumps(items)], env=environment)
    try:
        deadline = time.monotonic() + 60
        while not slow.log()["batches"]:
            assert process.poll() is None
            assert time.monotonic() < deadline
            await asyncio.sleep(0.05)
    finally:
        process.kill()
        process.wait()
    slow.advance(61)
    answers = await client().process_batch(items, key="nightly")
    assert [answer["role"] for answer in answers] == ["assistant"] * 2
    assert (slow.log()["creates_seen"], slow.bill()["requests"]) == (1, 2)
    assert len(events_of(url, BatchPlanned)) == 1


async def test_half_the_price_of_standard_calls_and_the_ledger_says_so(url: str, simulator: RunningSimulator) -> None:
    await client().process_batch([params("a"), params("b")])
    with Ledger.open(url) as ledger:
        report = savings(ledger, Period())
    assert Decimal(report["cost"]["actual"]) == Decimal(simulator.bill()["total"])
    assert Decimal(report["cost"]["actual"]) * 2 == Decimal(report["cost"]["standard_no_cache"])


def test_a_provider_without_batches_here_is_refused() -> None:
    for name in ("openai", "ollama", "nobody"):
        with pytest.raises(UnsupportedProvider, match=name):
            AnthropicBatchClient(ProviderCapabilities.detect(name), NOW)


async def test_a_missing_key_is_told_before_anything_is_recorded(url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("ANTHROPIC_API_KEY")
    with pytest.raises(ConfigurationError, match="ANTHROPIC_API_KEY is not set"):
        await client().process_batch([params("a")])
    assert events_of(url, RequestRecorded) == []


async def test_messages_need_a_model_and_params_need_none() -> None:
    nameless = client(model=None)
    with pytest.raises(ConfigurationError, match="needs a model"):
        await nameless.process_batch(["a"])
    (answer,) = await nameless.process_batch([params("a")])
    assert answer["type"] == "message"


async def test_without_langchain_params_still_go(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "langchain_anthropic", None)
    with pytest.raises(MissingIntegration, match="langchain-anthropic"):
        await client().process_batch(["a"])
    (answer,) = await client().process_batch([params("a")])
    assert answer["type"] == "message"


async def test_an_answer_that_is_not_kept_any_more_is_told(url: str) -> None:
    await client().process_batch([params("a")], key="k")
    while any(thread.name.startswith("llm-ledger") for thread in threading.enumerate()):
        await asyncio.sleep(0.02)  # the last step is under way
    with Ledger.open(url) as ledger:
        purge(ledger.database, ledger.clock.now() + timedelta(days=1))
    (gone,) = await client().get_results("k")
    assert "not kept in the ledger any more" in gone.message


async def test_the_key_and_address_are_those_of_the_model(
    simulator: RunningSimulator, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("ANTHROPIC_API_KEY")
    monkeypatch.setenv("ANTHROPIC_BASE_URL", "http://127.0.0.1:9")
    model = chat(simulator, api_key="sk-of-the-model")
    await client(model).process_batch(["a"])
    assert list(simulator.bill()["accounts"]) == [simulator.account("sk-of-the-model")]


async def test_what_is_bound_to_the_model_goes_along(simulator: RunningSimulator) -> None:
    tool = {"name": "add", "description": "Adds.", "input_schema": {"type": "object", "properties": {}}}
    bound = chat(simulator).bind_tools([tool], tool_choice="any")
    (wanted,) = client(bound)._format_messages(["What is 2 + 2?"])
    assert wanted["tool_choice"] == {"type": "any"}
    assert [tool["name"] for tool in wanted["tools"]] == ["add"]
    (answer,) = await client(bound).process_batch(["What is 2 + 2?"])
    assert [call["name"] for call in answer.tool_calls] == ["add"]


def test_what_is_no_chat_model_of_anthropics_is_refused() -> None:
    with pytest.raises(NotWrappable, match="RunnableLambda cannot be wrapped"):
        client(RunnableLambda(str))


async def test_betas_travel_as_a_header(url: str, simulator: RunningSimulator) -> None:
    model = chat(simulator, betas=["context-1m-2025-08-07"])
    (answer,) = await client(model).process_batch(["a"])
    assert answer.text
    assert [event.betas for event in events_of(url, RequestRecorded)] == [("context-1m-2025-08-07",)]


async def test_betas_of_every_call_of_the_model_are_those_of_each_request(
    url: str, simulator: RunningSimulator
) -> None:
    model = chat(simulator, default_headers={"Anthropic-Beta": "b-2, b-1"}, betas=["b-1"])
    (answer,) = await client(model).process_batch(["a"])
    assert answer.text
    assert [event.betas for event in events_of(url, RequestRecorded)] == [("b-1", "b-2")]


def test_headers_that_a_batch_cannot_have_are_told_at_once(simulator: RunningSimulator) -> None:
    with pytest.raises(
        ConfigurationError, match="with Authorization in default_headers; give a credential as api_key"
    ):
        client(chat(simulator, default_headers={"Authorization": "Bearer of-somebody-else", "x-team": "search"}))


async def test_the_budget_is_told_to_who_waits(monkeypatch: pytest.MonkeyPatch, simulator: RunningSimulator) -> None:
    monkeypatch.setenv("LLM_LEDGER_BUDGET_USD", "0.0000001")
    with pytest.raises(SubmissionHeld, match="budget reached"):
        await client().process_batch([params("a")])
    assert simulator.log()["creates_seen"] == 0


async def test_a_key_that_nobody_used_is_no_batch() -> None:
    with pytest.raises(UnknownId, match="nothing was submitted under that key"):
        await client().get_results("nobody's")
