"""One simulator for all tests here, with a clock that only moves when told to, emptied before each test."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from typing import Any

import anthropic
import httpx2
import pytest

from llm_ledger.simulator import RunningSimulator, SimulatorConfig, running

Json = dict[str, Any]

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


@pytest.fixture(scope="session")
def _client(_simulator: RunningSimulator) -> Iterator[anthropic.Anthropic]:
    with anthropic.Anthropic(base_url=_simulator.base_url, api_key="key-a", max_retries=0) as client:
        yield client


@pytest.fixture
def client(simulator: RunningSimulator, _client: anthropic.Anthropic) -> anthropic.Anthropic:
    return _client


@pytest.fixture(scope="session")
def _http(_simulator: RunningSimulator) -> Iterator[httpx2.Client]:
    headers = {"x-api-key": "key-a", "anthropic-version": "2026-10-21"}
    with httpx2.Client(base_url=_simulator.base_url, headers=headers, timeout=10) as http:
        yield http


@pytest.fixture
def http(simulator: RunningSimulator, _http: httpx2.Client) -> httpx2.Client:
    return _http


@pytest.fixture
def params() -> Callable[..., Json]:
    """Params of a small request, with further fields."""

    def build(text: str = "How many apples?", **fields: Any) -> Json:
        message = {"role": "user", "content": text}
        return {"model": "claude-opus-5-5", "max_tokens": 256, "messages": [message], **fields}

    return build


@pytest.fixture
def item(params: Callable[..., Json]) -> Callable[..., Json]:
    """A batch item with a question of its own."""

    def build(custom_id: str, **fields: Any) -> Json:
        return {"custom_id": custom_id, "params": params(f"Question {custom_id}?", **fields)}

    return build


@pytest.fixture
def post_batch(http: httpx2.Client) -> Callable[..., Json]:
    """Posts items as one batch and gives the batch."""

    def post(*items: Json, **headers: str) -> Json:
        named = {name.replace("_", "-"): value for name, value in headers.items()}
        created = http.post("/v1/messages/batches", json={"requests": items}, headers=named)
        assert created.status_code == 200, created.text
        return created.json()

    return post


@pytest.fixture
def results(http: httpx2.Client) -> Callable[[str], dict[str, Json]]:
    """The results of a batch by custom id."""

    def read(batch_id: str) -> dict[str, Json]:
        answer = http.get(f"/v1/messages/batches/{batch_id}/results")
        assert answer.status_code == 200, answer.text
        return {line["custom_id"]: line["result"] for line in map(json.loads, answer.text.splitlines())}

    return read


@pytest.fixture
def finish(
    simulator: RunningSimulator, post_batch: Callable[..., Json], results: Callable[[str], dict[str, Json]]
) -> Callable[..., dict[str, Json]]:
    """Posts items, lets the batch run to its end, gives the results by custom id."""

    def run(*items: Json, **headers: str) -> dict[str, Json]:
        batch = post_batch(*items, **headers)
        simulator.advance(60)
        return results(batch["id"])

    return run
