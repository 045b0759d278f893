"""Tracers and guards that an application has set on one client or model go on being asked."""

from __future__ import annotations

import doctest
from collections.abc import Callable, Iterator
from typing import Any
from unittest import mock

import anthropic
import pytest
from langchain_anthropic import ChatAnthropic

from llm_ledger.simulator import RunningSimulator
from llm_optimization import OptimizationConfig, RecordedChatModel, optimize_client, patches
from tests.support.wrapped_calls import calls, claude

ON = OptimizationConfig(optimization_enabled=True)


def guard(*_: object, **__: object) -> Any:
    raise RuntimeError("asked")


def replace_create(client: Any) -> None:
    client.messages.create = guard


def replace_beta(client: Any) -> None:
    client.beta.messages.stream = guard


def replace_messages(client: Any) -> None:
    client.messages = mock.Mock()


def replace_raw(client: Any) -> None:
    client.messages.with_raw_response = mock.Mock()


def replace_all_of_beta(client: Any) -> None:
    client.beta = mock.Mock()


@pytest.fixture
def client() -> Iterator[anthropic.Anthropic]:
    with anthropic.Anthropic(api_key="key", base_url="http://127.0.0.1:9") as client:
        yield client


@pytest.mark.parametrize(
    ("replace", "named"),
    [
        (replace_create, "messages.create"),
        (replace_beta, "beta.messages.stream"),
        (replace_messages, "messages"),
        (replace_raw, "messages.with_raw_response"),
        (replace_all_of_beta, "beta"),
    ],
)
def test_a_client_somebody_has_changed_is_left_as_it_is(
    client: anthropic.Anthropic, caplog: pytest.LogCaptureFixture, replace: Callable[[Any], None], named: str
) -> None:
    replace(client)
    assert optimize_client(client) is client
    assert f"its {named} was replaced; optimise it first" in caplog.text


def test_a_client_in_use_is_no_changed_one(client: anthropic.Anthropic) -> None:
    _ = client.messages.with_raw_response, client.messages.batches, client.beta.messages.with_streaming_response
    assert optimize_client(client) is not client


def test_what_is_set_on_a_models_client_is_asked(simulator: RunningSimulator, ledger_url: str) -> None:
    model = ChatAnthropic(model="claude-sonnet-4-6", api_key="k", base_url=simulator.base_url)
    llm: Any = RecordedChatModel(model, "anthropic", ON)
    raw = mock.Mock(create=guard)
    with (
        mock.patch.object(llm._client.messages, "create", guard),
        mock.patch.object(llm._client.messages, "with_raw_response", raw),
        pytest.raises(RuntimeError, match="asked"),
    ):
        llm.invoke("One?")
    assert simulator.log()["calls"].get("messages", 0) == 0


async def test_a_models_clients_can_be_set_and_patched(simulator: RunningSimulator, ledger_url: str) -> None:
    async with claude(simulator) as bare, claude(simulator, key="another") as another:
        llm: Any = RecordedChatModel(bare, "anthropic", ON)
        own = llm._client
        with mock.patch.object(llm, "_client", guard), mock.patch.object(llm, "_async_client", guard):
            assert llm._client is llm._async_client is guard
        assert llm._client is own
        llm._client, llm._async_client = another._client, another._async_client
        llm.invoke("One?")
        await llm.ainvoke("Two?")
    assert simulator.bill()["accounts"][simulator.account("another")]["requests"] == 2
    assert [row.status for row in calls(ledger_url)] == ["succeeded"] * 2


def test_the_examples_are_true() -> None:
    assert doctest.testmod(patches).failed == 0
