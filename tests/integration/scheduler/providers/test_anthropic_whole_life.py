"""A batch from creation to results, against the simulated provider."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import pytest

from ledger.errors import ProviderRefused
from llm_ledger.simulator import SimulatorConfig, running
from scheduler.providers.anthropic import AnthropicBatches, AnthropicRules
from scheduler.providers.base import BatchItem, BatchStatus

PARAMS = {
    "model": "claude-sonnet-4-5",
    "max_tokens": 16,
    "system": [{"type": "text", "text": "Answer briefly. " * 400, "cache_control": {"type": "ephemeral"}}],
    "messages": [{"role": "user", "content": "Count to three."}],
    "temperature": 0,
}
BROKEN = {"model": "claude-sonnet-4-5", "messages": [{"role": "user", "content": "no max_tokens"}]}


def submit(provider: AnthropicBatches, *params: dict[str, Any], nonce: str = "n") -> BatchStatus:
    items = [BatchItem(f"{nonce}-{index}", json.dumps(each).encode()) for index, each in enumerate(params)]
    return provider.create(
        lambda: items,
        size=sum(item.size for item in items),
        count=len(items),
        api_version="2023-06-01",
        betas=(),
        before_send=lambda: None,
    )


def test_from_rules_to_results(connect: Callable[..., AnthropicBatches]) -> None:
    with running(SimulatorConfig(batch_seconds=0)) as simulator:
        provider = connect(simulator.base_url)
        assert AnthropicRules().check(PARAMS).api_version == "2023-06-01"
        assert provider.newest_batch() is None

        first = submit(provider, PARAMS, PARAMS, BROKEN)
        assert first.total == 3
        assert provider.newest_batch().id == first.id

        second = submit(provider, PARAMS, nonce="m")
        assert [status.id for status in provider.list_newer(first.id)] == [second.id]
        assert [status.id for status in provider.list_newer(None)] == [second.id, first.id]

        ended = provider.retrieve(first.id)
        assert (ended.state, ended.succeeded, ended.errored) == ("ended", 2, 1)
        results = {item.custom_id: item for item in provider.results(first.id)}
        assert {custom_id: item.kind for custom_id, item in results.items()} == {
            "n-0": "succeeded",
            "n-1": "succeeded",
            "n-2": "errored",
        }
        assert results["n-2"].error_type == "invalid_request_error"
        assert not results["n-2"].retryable
        usage = json.loads(results["n-0"].usage or b"")
        assert usage["cache_creation_input_tokens"] + usage["cache_read_input_tokens"] > 0
        assert json.loads(results["n-0"].body)["message"]["usage"] == usage


def test_another_key_does_not_see_the_batch(connect: Callable[..., AnthropicBatches]) -> None:
    with running(SimulatorConfig(batch_seconds=0)) as simulator:
        mine, other = connect(simulator.base_url), connect(simulator.base_url, api_key="sk-other")
        made = submit(mine, PARAMS)
        assert other.newest_batch() is None
        with pytest.raises(ProviderRefused) as caught:
            other.retrieve(made.id)
        assert caught.value.status == 404


def test_a_batch_can_be_canceled(connect: Callable[..., AnthropicBatches]) -> None:
    with running(SimulatorConfig(batch_seconds=3600)) as simulator:
        provider = connect(simulator.base_url)
        made = submit(provider, PARAMS)
        assert provider.cancel(made.id).id == made.id
        ended = provider.retrieve(made.id)
        assert (ended.state, ended.canceled) == ("ended", 1)
        assert [item.kind for item in provider.results(made.id)] == ["canceled"]
