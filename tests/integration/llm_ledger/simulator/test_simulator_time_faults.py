"""Faults of connection and time: what arrives broken, late, slowly, twice, or as things stood before."""

from __future__ import annotations

import json
from collections.abc import Callable
from datetime import timedelta
from email.utils import parsedate_to_datetime
from typing import Any

import anthropic
import httpx2
import pytest

from llm_ledger.simulator import RunningSimulator

Json = dict[str, Any]
Build = Callable[..., Json]

BATCHES = "/v1/messages/batches"
LARGE = "x" * 2_000_000


@pytest.fixture
def ended(simulator: RunningSimulator, post_batch: Build, item: Build) -> str:
    batch = post_batch(*(item(f"q{index}") for index in range(5)))
    simulator.advance(60)
    return f"{BATCHES}/{batch['id']}"


@pytest.mark.parametrize("text", ["small", LARGE])
def test_an_upload_that_is_reset(
    simulator: RunningSimulator, client: anthropic.Anthropic, item: Build, text: str
) -> None:
    simulator.fault(endpoint="batches.create", kind="reset_upload", after_bytes=100)
    with pytest.raises(anthropic.APIConnectionError) as broken:
        client.messages.batches.create(requests=[item("a", system=text)])
    assert isinstance(broken.value.__cause__, httpx2.ReadError | httpx2.WriteError)
    log = simulator.log()
    assert (log["creates_seen"], log["batches"]) == (1, [])


@pytest.mark.parametrize("framing", [{}, {"length": True}, {"silent": True}], ids=["chunked", "length", "silent"])
def test_results_cut_at_any_byte_however_they_are_framed(
    simulator: RunningSimulator, http: httpx2.Client, ended: str, framing: Json
) -> None:
    whole = http.get(f"{ended}/results").content
    for after in (0, 1, whole.index(b"\n"), whole.index(b"\n") + 1, len(whole) - 1, len(whole)):
        simulator.fault(endpoint="batches.results", kind="truncate", after_bytes=after, **framing)
        arrived = b""
        noticed = False
        with http.stream("GET", f"{ended}/results") as answer:
            assert answer.status_code == 200
            try:
                for piece in answer.iter_raw():
                    arrived += piece
            except httpx2.RemoteProtocolError:
                noticed = True
        assert arrived == whole[:after]
        complete = "silent" in framing or ("length" in framing and after == len(whole))
        assert noticed is not complete


def test_the_head_of_an_answer_without_its_body(
    simulator: RunningSimulator, http: httpx2.Client, item: Build
) -> None:
    simulator.fault(endpoint="batches.create", kind="truncate")
    with http.stream("POST", BATCHES, json={"requests": [item("a")]}) as answer:
        assert (answer.status_code, "content-length" in answer.headers) == (200, True)
        with pytest.raises(httpx2.RemoteProtocolError):
            answer.read()
    assert len(simulator.log()["batches"]) == 1


@pytest.mark.parametrize(
    "fault",
    [
        {"kind": "status", "status": 529},
        {"kind": "malformed"},
        {"kind": "malformed", "body": "half"},
        {"kind": "truncate", "after_bytes": 10**6, "silent": True},
        {"kind": "slow", "piece_bytes": 100},
        {"kind": "delay", "delay_seconds": 0.01},
        {"kind": "twice"},
        {"kind": "stale"},
        {"kind": "wrong_counts"},
    ],
    ids=lambda fault: fault["kind"],
)
def test_every_answer_is_dated_by_the_providers_clock(
    simulator: RunningSimulator, http: httpx2.Client, ended: str, fault: Json
) -> None:
    simulator.advance(40 * 86_400)
    simulator.fault(endpoint="batches.retrieve", **fault)
    told = http.get(ended).headers["date"]
    assert told == http.get("/v1/models").headers["date"]
    assert simulator.clock()["now"].startswith(parsedate_to_datetime(told).strftime("%Y-%m-%dT%H:%M:%S"))
    assert [happened["kind"] for happened in simulator.log()["faults"]] == [fault["kind"]]


@pytest.mark.parametrize("body", ["html", "empty", "half"])
@pytest.mark.parametrize("commit", [False, True])
def test_a_body_that_is_not_what_was_asked_for(
    simulator: RunningSimulator, http: httpx2.Client, item: Build, body: str, commit: bool
) -> None:
    simulator.fault(endpoint="batches.create", kind="malformed", body=body, commit=commit)
    answer = http.post(BATCHES, json={"requests": [item("a")]})
    assert answer.status_code == 200
    with pytest.raises(json.JSONDecodeError):
        answer.json()
    assert len(simulator.log()["batches"]) == int(commit or body == "half")
    assert ("<p>" in answer.text, answer.text.startswith("{")) == (body == "html", body == "half")


def test_an_answer_that_trickles_and_one_that_takes_its_time(
    simulator: RunningSimulator, http: httpx2.Client, ended: str
) -> None:
    at_once = http.get(f"{ended}/results").content
    simulator.fault(endpoint="batches.results", kind="slow", piece_bytes=7)
    with http.stream("GET", f"{ended}/results") as answer:
        pieces = list(answer.iter_raw())
    assert b"".join(pieces) == at_once
    simulator.fault(endpoint="batches.results", kind="delay", delay_seconds=0.01)
    assert http.get(f"{ended}/results").content == at_once
    for kind in ("slow", "delay", "hang"):
        simulator.fault(endpoint="batches.results", kind=kind, delay_seconds=5)
        with pytest.raises(httpx2.TimeoutException):
            http.get(f"{ended}/results", timeout=0.05)


def test_a_hanging_answer_can_let_go(simulator: RunningSimulator, http: httpx2.Client) -> None:
    simulator.fault(endpoint="models", kind="hang", delay_seconds=0.01)
    with pytest.raises((httpx2.RemoteProtocolError, httpx2.ReadError)):
        http.get("/v1/models")


def test_a_proxy_that_repeats_a_post_makes_two_batches(
    simulator: RunningSimulator, client: anthropic.Anthropic, item: Build
) -> None:
    simulator.fault(endpoint="batches.create", kind="twice")
    made = client.messages.batches.create(requests=[item("a"), item("b")])
    alone = client.messages.batches.create(requests=[item("c")])
    simulator.advance(60)
    log = simulator.log()
    (first, second), (third,) = (create["batches"] for create in log["creates"])
    assert (second, third) == (made.id, alone.id)
    assert [create["fault"] for create in log["creates"]] == ["twice", None]
    assert (log["creates_seen"], log["duplicated_params"]) == (2, 2)
    assert [batch["id"] for batch in log["batches"]] == [first, second, third]
    assert simulator.bill()["requests"] == 5


def test_such_a_proxy_may_keep_silent(simulator: RunningSimulator, client: anthropic.Anthropic, item: Build) -> None:
    simulator.fault(endpoint="batches.create", kind="twice", silent=True)
    with pytest.raises(anthropic.APIConnectionError):
        client.messages.batches.create(requests=[item("a")])
    assert len(simulator.log()["creates"][0]["batches"]) == 2


def test_a_call_that_is_answered_twice_is_paid_twice(
    simulator: RunningSimulator, client: anthropic.Anthropic, params: Build
) -> None:
    simulator.fault(endpoint="messages", kind="twice")
    client.messages.create(**params())
    assert simulator.bill()["requests"] == 2


def test_a_create_that_takes_effect_after_its_connection_ended(
    simulator: RunningSimulator, client: anthropic.Anthropic, item: Build
) -> None:
    simulator.fault(endpoint="batches.create", kind="late", delay_seconds=30)
    with pytest.raises(anthropic.APIConnectionError):
        client.messages.batches.create(requests=[item("a")])
    simulator.advance(29)
    assert client.messages.batches.list().data == []
    assert simulator.log()["creates"][0]["batches"] == []
    simulator.advance(1)
    (batch,) = client.messages.batches.list().data
    assert simulator.log()["creates"][0] | {"request_id": ""} == {
        "request_id": "",
        "fault": "late",
        "batches": [batch.id],
    }


def test_a_late_effect_does_not_survive_a_reset(
    simulator: RunningSimulator, http: httpx2.Client, item: Build
) -> None:
    simulator.fault(endpoint="batches.create", kind="late", delay_seconds=30)
    with pytest.raises(httpx2.HTTPError):
        http.post(BATCHES, json={"requests": [item("a")]})
    simulator.reset()
    simulator.advance(60)
    assert simulator.log()["batches"] == []


def test_stale_answers_tell_of_the_state_before(
    simulator: RunningSimulator, client: anthropic.Anthropic, item: Build
) -> None:
    batches = client.messages.batches

    def stale(endpoint: str) -> None:
        simulator.fault(endpoint=endpoint, kind="stale", delay_seconds=10)

    made = batches.create(requests=[item("a"), item("b")])
    stale("batches.list")
    assert (batches.list().data, len(batches.list().data)) == ([], 1)
    simulator.advance(30)
    batches.cancel(made.id)
    stale("batches.retrieve")
    assert batches.retrieve(made.id).processing_status == "in_progress"
    assert batches.retrieve(made.id).processing_status == "canceling"
    simulator.advance(5)
    stale("batches.retrieve")
    before = batches.retrieve(made.id)
    assert (before.processing_status, before.request_counts.processing) == ("in_progress", 2)
    stale("batches.results")
    with pytest.raises(anthropic.NotFoundError):
        list(batches.results(made.id))
    batches.delete(made.id)
    stale("batches.list")
    assert [batch.id for batch in batches.list().data] == [made.id]
    assert batches.list().data == []


def test_the_clock_can_run_past_the_end_just_before_a_cancel(
    simulator: RunningSimulator, client: anthropic.Anthropic, item: Build
) -> None:
    batches = client.messages.batches
    made = batches.create(requests=[item("a"), item("b")])
    simulator.fault(endpoint="batches.cancel", kind="jump", delay_seconds=60)
    with pytest.raises(anthropic.BadRequestError):
        batches.cancel(made.id)
    ended = batches.retrieve(made.id)
    assert (ended.request_counts.succeeded, ended.ended_at) == (2, made.created_at + timedelta(seconds=60))


@pytest.mark.parametrize("endpoint", ["retrieve", "cancel", "results"])
def test_a_batch_that_somebody_else_deletes(
    simulator: RunningSimulator, client: anthropic.Anthropic, item: Build, endpoint: str
) -> None:
    made = client.messages.batches.create(requests=[item("a")])
    simulator.advance(60)
    # The SDK's results() is a retrieve and the file.
    simulator.fault(endpoint=f"batches.{endpoint}", kind="vanish")
    for _ in range(2):
        with pytest.raises(anthropic.NotFoundError):
            getattr(client.messages.batches, endpoint)(made.id)
    assert client.messages.batches.list().data == []
    assert simulator.log()["batches"][0]["deleted"]
    assert simulator.bill()["requests"] == 1
