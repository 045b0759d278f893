"""Faults on order, as a client sees them, and what the provider has done all the same."""

from __future__ import annotations

import json
import threading
from collections.abc import Callable
from typing import Any

import anthropic
import httpx2
import pytest

from llm_ledger.simulator import RunningSimulator, running

Json = dict[str, Any]
Build = Callable[..., Json]


@pytest.mark.parametrize(
    ("status", "error"),
    [
        (429, anthropic.RateLimitError),
        (500, anthropic.InternalServerError),
        (529, anthropic.InternalServerError),
        (403, anthropic.PermissionDeniedError),
    ],
)
@pytest.mark.parametrize("commit", [False, True])
def test_a_status_with_and_without_a_batch_behind_it(
    simulator: RunningSimulator,
    client: anthropic.Anthropic,
    item: Build,
    status: int,
    error: type[anthropic.APIStatusError],
    commit: bool,
) -> None:
    simulator.fault(endpoint="batches.create", kind="status", status=status, commit=commit, retry_after=1.5)
    with pytest.raises(error) as refused:
        client.messages.batches.create(requests=[item("a")])
    assert refused.value.response.headers["retry-after"] == "1.5"
    assert refused.value.request_id is not None
    log = simulator.log()
    assert (log["creates_seen"], len(log["batches"])) == (1, int(commit))
    client.messages.batches.create(requests=[item("b")])


@pytest.mark.parametrize(("kind", "batches"), [("drop_before", 0), ("drop_after", 1)])
def test_a_connection_closed_before_and_after_the_work(
    simulator: RunningSimulator, client: anthropic.Anthropic, item: Build, kind: str, batches: int
) -> None:
    simulator.fault(endpoint="batches.create", kind=kind)
    with pytest.raises(anthropic.APIConnectionError):
        client.messages.batches.create(requests=[item("a", system="x" * 500_000)])
    assert len(simulator.log()["batches"]) == batches


def test_the_sdks_own_retries_make_a_twin(simulator: RunningSimulator, item: Build) -> None:
    simulator.fault(endpoint="batches.create", kind="status", status=500, commit=True, retry_after=0)
    with anthropic.Anthropic(base_url=simulator.base_url, api_key="key-a") as client:
        client.messages.batches.create(requests=[item("a")])
    log = simulator.log()
    assert (log["creates_seen"], len(log["batches"]), log["duplicated_params"]) == (2, 2, 1)


@pytest.mark.parametrize(("commit", "batches"), [(False, 0), (True, 1)])
def test_an_answer_that_never_comes(
    simulator: RunningSimulator, client: anthropic.Anthropic, item: Build, commit: bool, batches: int
) -> None:
    simulator.fault(endpoint="batches.create", kind="hang", commit=commit)
    with pytest.raises(anthropic.APITimeoutError):
        client.with_options(timeout=0.05).messages.batches.create(requests=[item("a")])
    assert len(simulator.log()["batches"]) == batches


def test_a_hanging_answer_does_not_hold_up_the_shutdown() -> None:
    with running() as simulator:
        simulator.fault(endpoint="models", kind="hang")
        outcome: list[Exception] = []

        def wait() -> None:
            try:
                httpx2.get(f"{simulator.base_url}/v1/models", timeout=30)
            except httpx2.HTTPError as error:
                outcome.append(error)

        waiting = threading.Thread(target=wait)
        waiting.start()
        while not simulator.log()["calls"]["models"]:
            pass
    waiting.join(10)
    assert isinstance(outcome[0], httpx2.RemoteProtocolError | httpx2.ReadError)


@pytest.fixture
def ended(simulator: RunningSimulator, post_batch: Build, item: Build) -> str:
    batch = post_batch(item("a"), item("b"), item("c"))
    simulator.advance(60)
    return str(batch["id"])


def test_results_cut_off_in_mid_air(simulator: RunningSimulator, client: anthropic.Anthropic, ended: str) -> None:
    simulator.fault(endpoint="batches.results", kind="truncate", after_bytes=1000)
    with pytest.raises(httpx2.RemoteProtocolError):
        list(client.messages.batches.results(ended))
    assert len(list(client.messages.batches.results(ended))) == 3


def test_results_cut_off_in_silence(
    simulator: RunningSimulator, client: anthropic.Anthropic, http: httpx2.Client, ended: str
) -> None:
    whole = http.get(f"/v1/messages/batches/{ended}/results").content
    at_line_end = whole.index(b"\n") + 1
    simulator.fault(endpoint="batches.results", kind="truncate", after_bytes=at_line_end, silent=True)
    assert len(list(client.messages.batches.results(ended))) == 1
    simulator.fault(endpoint="batches.results", kind="truncate", after_bytes=at_line_end + 9, silent=True)
    with pytest.raises(json.JSONDecodeError):
        list(client.messages.batches.results(ended))


def test_a_stream_cut_off(simulator: RunningSimulator, client: anthropic.Anthropic, params: Build) -> None:
    simulator.fault(endpoint="messages", kind="truncate", after_bytes=900)
    with pytest.raises(httpx2.RemoteProtocolError), client.messages.stream(**params()) as stream:
        stream.get_final_message()
    assert simulator.bill()["requests"] == 1


@pytest.mark.parametrize(
    ("endpoint", "call"),
    [
        ("batches.retrieve", lambda client, batch: client.messages.batches.retrieve(batch)),
        ("batches.list", lambda client, batch: client.messages.batches.list()),
        ("batches.cancel", lambda client, batch: client.messages.batches.cancel(batch)),
        ("batches.delete", lambda client, batch: client.messages.batches.delete(batch)),
        ("batches.results", lambda client, batch: list(client.messages.batches.results(batch))),
        ("models", lambda client, batch: client.models.list()),
        (
            "messages.count_tokens",
            lambda client, batch: client.messages.count_tokens(
                model="claude-opus-5", messages=[{"role": "user", "content": "x"}]
            ),
        ),
        (
            "messages",
            lambda client, batch: client.messages.create(
                model="claude-opus-5", max_tokens=9, messages=[{"role": "user", "content": "x"}]
            ),
        ),
    ],
)
def test_every_endpoint_can_fail(
    simulator: RunningSimulator,
    client: anthropic.Anthropic,
    ended: str,
    endpoint: str,
    call: Callable[[anthropic.Anthropic, str], object],
) -> None:
    simulator.fault(endpoint=endpoint, kind="status", status=504)
    with pytest.raises(anthropic.InternalServerError) as refused:
        call(client, ended)
    assert refused.value.body["error"]["type"] == "timeout_error"


def test_faults_are_counted_and_can_wait(simulator: RunningSimulator, client: anthropic.Anthropic) -> None:
    simulator.fault(endpoint="models", kind="status", status=500, skip=1, times=2)
    outcomes = []
    for _ in range(4):
        try:
            client.models.list()
            outcomes.append("well")
        except anthropic.InternalServerError:
            outcomes.append("failed")
    assert outcomes == ["well", "failed", "failed", "well"]
    assert simulator.log()["calls"]["models"] == 4


def test_faults_can_be_taken_back(simulator: RunningSimulator, client: anthropic.Anthropic) -> None:
    simulator.fault(endpoint="models", kind="status", times=9)
    simulator.clear_faults()
    assert client.models.list().data


@pytest.mark.parametrize(
    "order", [{"endpoint": "models", "kind": "sulk"}, {"endpoint": "nowhere", "kind": "hang"}, {"kind": "hang"}]
)
def test_a_fault_that_cannot_be_is_refused(simulator: RunningSimulator, order: Json) -> None:
    with pytest.raises(ValueError, match=r"Object missing|Invalid enum"):
        simulator.fault(**order)
