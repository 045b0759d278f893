"""Requests that arrive one by one go out together; whoever put one in gets its outcome, or what went wrong."""

from __future__ import annotations

import asyncio
import threading
from typing import Any

import pytest

from ledger.errors import ConfigurationError, InputError
from ledger.events import RequestRecorded
from llm_ledger.simulator import RunningSimulator
from llm_optimization.batching import BatchSession, Engine, Outcome, engine_for
from scheduler.providers.anthropic import AnthropicSettings
from tests.support.batching import KEY, MODEL, NOW, events_of, hurry, no_thread, params, slow_provider


@pytest.fixture(autouse=True)
def url(ledger_url: str, simulator: RunningSimulator, monkeypatch: pytest.MonkeyPatch) -> str:
    simulator.reset()
    hurry(monkeypatch, simulator)
    return ledger_url


@pytest.fixture
def engine(url: str) -> Engine:
    return engine_for(None, NOW)


async def gathered(session: BatchSession, *items: dict[str, Any]) -> list[Outcome]:
    return await asyncio.gather(*(session.put(item) for item in items))


async def test_what_arrives_one_by_one_goes_out_in_one_batch(engine: Engine, simulator: RunningSimulator) -> None:
    session = BatchSession(engine, 3, key="k", patience_seconds=30)
    outcomes = await gathered(session, params("a"), params("b"), params("a"))
    assert [outcome.status for outcome in outcomes] == ["succeeded"] * 3
    assert len({outcome.message["id"] for outcome in outcomes if outcome.message}) == 3
    assert [batch["request_count"] for batch in simulator.log()["batches"]] == [3]


async def test_nobody_waits_for_who_withdrew(engine: Engine, simulator: RunningSimulator) -> None:
    session = BatchSession(engine, 3, patience_seconds=30)
    waiting = [asyncio.ensure_future(session.put(params(question))) for question in "ab"]
    await asyncio.sleep(0)
    assert simulator.log()["batches"] == []
    session.withdraw()
    assert [(await each).status for each in waiting] == ["succeeded"] * 2


async def test_nobody_waits_for_who_may_wait_for_them(engine: Engine, simulator: RunningSimulator) -> None:
    """As callers do who come one after the other, like those behind a bound of concurrency."""
    session = BatchSession(engine, 2, patience_seconds=0.01)
    assert (await session.put(params("a"))).status == "succeeded"
    assert (await session.put(params("b"))).status == "succeeded"
    assert simulator.log()["creates_seen"] == 2


async def test_what_was_canceled_in_time_is_not_sent(engine: Engine, url: str) -> None:
    session = BatchSession(engine, 2, patience_seconds=30)
    tired = asyncio.ensure_future(session.put(params("a")))
    await asyncio.sleep(0)
    tired.cancel()
    await asyncio.sleep(0)
    assert (await session.put(params("b"))).status == "succeeded"
    assert len(events_of(url, RequestRecorded)) == 1


async def test_invalid_params_keep_nobody_else_from_an_answer(engine: Engine) -> None:
    session = BatchSession(engine, 5)
    unknown = {"model": MODEL, "max_tokens": 1, "messages": [{"role": "user", "content": object()}]}
    of_no_beta = [params("c", betas=5), params("d", betas=[{}])]
    good, refused, strange, *betas = await gathered(
        session, params("a"), params("b", max_tokens=-1), unknown, *of_no_beta
    )
    assert all("betas: must be a list of names" in str(one.failure) for one in betas)
    assert good.failure is None
    assert (refused.status, refused.error_type) == ("errored", "invalid_request_error")
    assert "max_tokens" in str(refused.failure)
    assert "object is no JSON" in str(strange.failure)


async def test_a_whole_payload_may_be_put_in(engine: Engine, url: str) -> None:
    """As LangChain makes it for a standard call."""
    payload = params("a", extra_body={"temperature": 0.5}, extra_headers={"Anthropic-Beta": "b-1, b-2"})
    outcome = await BatchSession(engine, 1).put(payload | {"betas": ["b-0"], "stream": False, "timeout": 5})
    assert (outcome.status, outcome.beta) == ("succeeded", True)
    (recorded,) = events_of(url, RequestRecorded)
    assert (recorded.betas, recorded.api_version) == (("b-0", "b-1", "b-2"), "2023-06-01")


async def test_betas_of_every_call_of_the_client_are_those_of_each_request(
    url: str, simulator: RunningSimulator
) -> None:
    every = AnthropicSettings(api_key=KEY, base_url=simulator.base_url, headers=(("Anthropic-Beta", "b-1,b-2"),))
    outcome = await BatchSession(engine_for(every, NOW), 1).put(params("a", betas=["b-2", "b-0"]))
    assert (outcome.status, outcome.beta) == ("succeeded", True)
    assert [event.betas for event in events_of(url, RequestRecorded)] == [("b-0", "b-1", "b-2")]


async def test_tags_of_the_session_and_of_each_request_come_together(engine: Engine, url: str) -> None:
    session = BatchSession(engine, 2, tags={"team": "search", "run": "1"})
    await asyncio.gather(session.put(params("a")), session.put(params("b"), tags={"run": "2"}))
    tags = sorted(event.tags["run"] for event in events_of(url, RequestRecorded) if event.tags["team"] == "search")
    assert tags == ["1", "2"]


async def test_everybody_hears_of_what_makes_waiting_senseless(
    url: str, simulator: RunningSimulator, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("ANTHROPIC_API_KEY")
    session = BatchSession(engine_for(None, NOW), 2)
    errors = await asyncio.gather(session.put(params("a")), session.put(params("b")), return_exceptions=True)
    assert [type(error) for error in errors] == [ConfigurationError] * 2


async def test_everybody_hears_that_there_is_no_thread(engine: Engine, monkeypatch: pytest.MonkeyPatch) -> None:
    session = BatchSession(engine, 2)
    with monkeypatch.context() as patch:
        patch.setattr(threading.Thread, "start", no_thread)
        async with asyncio.timeout(30):
            for question in "ab":
                with pytest.raises(RuntimeError, match="no thread"):
                    await session.put(params(question))
    assert (await session.put(params("c"))).status == "succeeded"


async def test_an_unusable_key_is_told_to_everybody(engine: Engine) -> None:
    session = BatchSession(engine, 2, key="\n")
    errors = await asyncio.gather(session.put(params("a")), session.put(params("b")), return_exceptions=True)
    assert [type(error) for error in errors] == [InputError] * 2


def test_it_serves_threads_as_well(engine: Engine, simulator: RunningSimulator) -> None:
    session = BatchSession(engine, 2)
    found: list[Outcome] = []
    threads = [
        threading.Thread(target=lambda question=question: found.append(session.hand_in(params(question)).result(30)))
        for question in "ab"
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert [outcome.status for outcome in found] == ["succeeded"] * 2
    assert simulator.log()["creates_seen"] == 1


async def test_nobody_works_for_callers_who_have_all_left(monkeypatch: pytest.MonkeyPatch, url: str) -> None:
    with slow_provider() as slow:
        hurry(monkeypatch, slow)
        session = BatchSession(engine_for(None, NOW), 2, key="k")
        waiting = [asyncio.ensure_future(session.put(params(question))) for question in "ab"]
        async with asyncio.timeout(30):
            while not slow.log()["batches"]:
                await asyncio.sleep(0.02)
            for each in waiting:
                each.cancel()
            while any(thread.name.startswith("llm-ledger") for thread in threading.enumerate()):
                await asyncio.sleep(0.02)
        slow.advance(61)
        again = BatchSession(engine_for(None, NOW), 1, key="k")
        assert (await again.put(params("b"))).status == "succeeded"
        assert slow.log()["creates_seen"] == 1
