"""One simulator for all tests here, with a clock that only moves when told to, emptied before each test."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Iterator
from datetime import UTC, datetime
from typing import Any

import anthropic
import httpx2
import pytest

from llm_ledger.simulator import RunningSimulator, SimulatorConfig, running

# An evening before a price change: Sonnet 5.5 cache reads get cheaper at midnight.
START = datetime(2026, 10, 6, 18, tzinfo=UTC)


@pytest.fixture(scope="session")
def _simulator() -> Iterator[RunningSimulator]:
    with running(SimulatorConfig(start=START, time_scale=0, batch_seconds=60, cancel_seconds=5)) as simulator:
        yield simulator


@pytest.fixture
def simulator(_simulator: RunningSimulator) -> RunningSimulator:
    _simulator.reset()
    return _simulator


@pytest.fixture
def client(simulator: RunningSimulator) -> Iterator[anthropic.Anthropic]:
    with anthropic.Anthropic(base_url=simulator.base_url, api_key="key-a", max_retries=0) as client:
        yield client


@pytest.fixture
async def async_client(simulator: RunningSimulator) -> AsyncIterator[anthropic.AsyncAnthropic]:
    async with anthropic.AsyncAnthropic(
        base_url=simulator.base_url, api_key="key-a", max_retries=0
    ) as client:
        yield client


@pytest.fixture
def http(simulator: RunningSimulator) -> Iterator[httpx2.Client]:
    headers = {"x-api-key": "key-a", "anthropic-version": "2026-10-21"}
    with httpx2.Client(base_url=simulator.base_url, headers=headers, timeout=10) as http:
        yield http


@pytest.fixture
def finish(simulator: RunningSimulator, http: httpx2.Client) -> Callable[..., dict[str, dict[str, Any]]]:
    """Posts items, lets the batch run to its end, gives the results by custom id."""

    def run(items: list[dict[str, Any]], **headers: str) -> dict[str, dict[str, Any]]:
        created = http.post("/v1/messages/batches", json={"requests": items}, headers=headers)
        assert created.status_code == 200, created.text
        simulator.advance(60)
        return read_results(http, created.json()["id"])

    return run


def read_results(http: httpx2.Client, batch_id: str) -> dict[str, dict[str, Any]]:
    import json

    answer = http.get(f"/v1/messages/batches/{batch_id}/results")
    assert answer.status_code == 200, answer.text
    return {line["custom_id"]: line["result"] for line in map(json.loads, answer.text.splitlines())}


def params(text: str = "How many apples?", **fields: Any) -> dict[str, Any]:
    return {
        "model": "claude-opus-5-5",
        "max_tokens": 256,
        "messages": [{"role": "user", "content": text}],
        **fields,
    }


def item(custom_id: str, text: str | None = None, **fields: Any) -> dict[str, Any]:
    return {"custom_id": custom_id, "params": params(text or f"Question {custom_id}?", **fields)}
