"""The Batch API: a batch's whole life, what is refused at once and what only in the results."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable
from datetime import timedelta
from typing import Any

import anthropic
import httpx2
import pytest

from llm_ledger.simulator import AccidentRule, RunningSimulator, SimulatorConfig, running

Json = dict[str, Any]
Build = Callable[..., Json]
Finish = Callable[..., dict[str, Json]]

DAY = 24 * 3600


def test_a_batch_lives_from_creation_to_deletion(
    simulator: RunningSimulator, client: anthropic.Anthropic, item: Build
) -> None:
    batch = client.messages.batches.create(requests=[item("a"), item("b"), item("c")])
    assert batch.id.startswith("msgbatch_")
    assert batch.processing_status == "in_progress"
    assert batch.request_counts.processing == 3
    assert batch.expires_at - batch.created_at == timedelta(hours=24)
    assert batch.results_url is None

    simulator.advance(59)
    half = client.messages.batches.retrieve(batch.id)
    assert (half.processing_status, half.request_counts.processing) == ("in_progress", 3)

    simulator.advance(1)
    ended = client.messages.batches.retrieve(batch.id)
    assert ended.processing_status == "ended"
    assert ended.request_counts.to_dict() == {
        "processing": 0,
        "succeeded": 3,
        "errored": 0,
        "canceled": 0,
        "expired": 0,
    }
    assert ended.ended_at == batch.created_at + timedelta(seconds=60)

    lines = list(client.messages.batches.results(batch.id))
    assert {line.custom_id for line in lines} == {"a", "b", "c"}
    assert all(line.result.message.usage.service_tier == "batch" for line in lines)

    assert client.messages.batches.delete(batch.id).type == "message_batch_deleted"
    with pytest.raises(anthropic.NotFoundError):
        client.messages.batches.retrieve(batch.id)
    assert client.messages.batches.list().data == []
    assert simulator.log()["batches"][0]["deleted"]


def test_the_asynchronous_client_goes_the_same_way(simulator: RunningSimulator, item: Build) -> None:
    async def live() -> set[str]:
        async with anthropic.AsyncAnthropic(base_url=simulator.base_url, api_key="key-a") as client:
            batch = await client.messages.batches.create(requests=[item("a"), item("b")])
            await asyncio.to_thread(simulator.advance, 60)
            return {line.custom_id async for line in await client.messages.batches.results(batch.id)}

    assert asyncio.run(live()) == {"a", "b"}


def test_an_item_answers_as_the_call_would(client: anthropic.Anthropic, params: Build, finish: Finish) -> None:
    answered = finish({"custom_id": "a", "params": params()})["a"]["message"]
    assert answered["content"] == [client.messages.create(**params()).content[0].to_dict(exclude_none=True)]


def test_results_are_shuffled_the_same_way_each_time(
    simulator: RunningSimulator, http: httpx2.Client, post_batch: Build, item: Build
) -> None:
    batch = post_batch(*(item(f"q{index}") for index in range(20)))
    simulator.advance(60)
    first, again = (http.get(f"/v1/messages/batches/{batch['id']}/results").text for _ in range(2))
    order = [json.loads(line)["custom_id"] for line in first.splitlines()]
    assert first == again
    assert order != [f"q{index}" for index in range(20)]


def test_results_are_not_there_before_the_end_nor_after_29_days(
    simulator: RunningSimulator, http: httpx2.Client, post_batch: Build, item: Build
) -> None:
    path = f"/v1/messages/batches/{post_batch(item('a'))['id']}"
    assert http.get(f"{path}/results").status_code == 404
    simulator.advance(29 * DAY - 1)
    assert http.get(f"{path}/results").status_code == 200
    simulator.advance(1)
    assert http.get(f"{path}/results").status_code == 404
    archived = http.get(path).json()
    assert (archived["archived_at"] is not None, archived["results_url"]) == (True, None)


def test_a_canceled_batch_keeps_what_was_done(
    simulator: RunningSimulator, client: anthropic.Anthropic, item: Build
) -> None:
    batch = client.messages.batches.create(requests=[item(f"q{index}") for index in range(4)])
    with pytest.raises(anthropic.BadRequestError):
        client.messages.batches.delete(batch.id)
    simulator.advance(30)
    canceling = client.messages.batches.cancel(batch.id)
    assert canceling.processing_status == "canceling"
    assert canceling.cancel_initiated_at == batch.created_at + timedelta(seconds=30)
    assert client.messages.batches.cancel(batch.id).processing_status == "canceling"
    simulator.advance(5)
    ended = client.messages.batches.retrieve(batch.id)
    assert (ended.request_counts.succeeded, ended.request_counts.canceled) == (2, 2)
    kinds = {line.custom_id: line.result.type for line in client.messages.batches.results(batch.id)}
    assert kinds == {"q0": "succeeded", "q1": "succeeded", "q2": "canceled", "q3": "canceled"}
    assert simulator.bill()["requests"] == 2
    with pytest.raises(anthropic.BadRequestError):
        client.messages.batches.cancel(batch.id)


def test_a_batch_expires_after_a_day(item: Build) -> None:
    config = SimulatorConfig(time_scale=0, batch_seconds=4 * DAY)
    with (
        running(config) as simulator,
        anthropic.Anthropic(base_url=simulator.base_url, api_key="k") as client,
    ):
        batch = client.messages.batches.create(requests=[item(f"q{index}") for index in range(4)])
        simulator.advance(DAY)
        counts = client.messages.batches.retrieve(batch.id).request_counts
        assert (counts.succeeded, counts.expired) == (1, 3)


def test_batches_are_listed_newest_first(
    simulator: RunningSimulator, client: anthropic.Anthropic, item: Build
) -> None:
    ids = [client.messages.batches.create(requests=[item(f"q{index}")]).id for index in range(5)][::-1]
    page = client.messages.batches.list(limit=2)
    assert ([batch.id for batch in page.data], page.has_more) == (ids[:2], True)
    assert (page.first_id, page.last_id) == (ids[0], ids[1])
    assert [batch.id for batch in page] == ids
    last = client.messages.batches.list(limit=2, after_id=ids[2])
    assert ([batch.id for batch in last.data], last.has_more) == (ids[3:], False)
    before = client.messages.batches.list(limit=2, before_id=ids[3])
    assert ([batch.id for batch in before.data], before.has_more) == (ids[1:3], True)
    with pytest.raises(anthropic.BadRequestError):
        client.messages.batches.list(after_id="msgbatch_nothing")
    for limit in (0, 1001):
        with pytest.raises(anthropic.BadRequestError):
            client.messages.batches.list(limit=limit)


def test_accounts_do_not_see_each_others_batches(
    simulator: RunningSimulator, client: anthropic.Anthropic, item: Build
) -> None:
    batch = client.messages.batches.create(requests=[item("a")])
    with anthropic.Anthropic(base_url=simulator.base_url, api_key="key-b") as other:
        assert other.messages.batches.list().data == []
        for look in (other.messages.batches.retrieve, other.messages.batches.cancel):
            with pytest.raises(anthropic.NotFoundError):
                look(batch.id)


def test_a_rotated_key_can_share_an_account(item: Build) -> None:
    with running(SimulatorConfig(account_aliases={"new": "old"})) as simulator:
        with anthropic.Anthropic(base_url=simulator.base_url, api_key="old") as client:
            batch = client.messages.batches.create(requests=[item("a")])
        with anthropic.Anthropic(base_url=simulator.base_url, api_key="new") as client:
            assert client.messages.batches.list().data[0].id == batch.id


def test_a_new_batch_and_fresh_results_may_take_a_moment_to_show(item: Build) -> None:
    config = SimulatorConfig(time_scale=0, batch_seconds=10, visible_after_seconds=2, results_after_seconds=3)
    with (
        running(config) as simulator,
        anthropic.Anthropic(base_url=simulator.base_url, api_key="k", max_retries=0) as client,
    ):
        batch = client.messages.batches.create(requests=[item("a")])
        with pytest.raises(anthropic.NotFoundError):
            client.messages.batches.retrieve(batch.id)
        assert client.messages.batches.list().data == []
        simulator.advance(10)
        assert client.messages.batches.retrieve(batch.id).processing_status == "ended"
        with pytest.raises(anthropic.NotFoundError):
            client.messages.batches.results(batch.id)
        simulator.advance(3)
        assert len(list(client.messages.batches.results(batch.id))) == 1


@pytest.mark.parametrize(
    ("requests", "complaint"),
    [
        ([], "at least 1 item"),
        ([{"custom_id": "a"}], "params"),
        ([{"custom_id": 7, "params": {}}], "custom_id"),
        ([{"custom_id": "a", "params": {}, "extra": 1}], "extra"),
        ([{"custom_id": "", "params": {}}], "requests.0.custom_id"),
        ([{"custom_id": "a b", "params": {}}], "requests.0.custom_id"),
        ([{"custom_id": "a\n", "params": {}}], "requests.0.custom_id"),
        ([{"custom_id": "a" * 65, "params": {}}], "requests.0.custom_id"),
        ([{"custom_id": "a", "params": {}}] * 2, "'a' is not unique"),
    ],
)
def test_bad_bodies_are_refused_at_once(http: httpx2.Client, requests: list[Json], complaint: str) -> None:
    answer = http.post("/v1/messages/batches", json={"requests": requests})
    assert answer.status_code == 400
    assert complaint in answer.json()["error"]["message"]
    assert http.get("/v1/messages/batches").json()["data"] == []


def test_batches_have_a_size() -> None:
    config = SimulatorConfig(max_batch_items=2, max_body_bytes=300_000)
    tiny = [{"custom_id": f"q{index}", "params": {}} for index in range(3)]
    huge = [{"custom_id": "a", "params": {"system": "x" * 300_000}}]
    headers = {"x-api-key": "k", "anthropic-version": "2026-10-21"}
    with running(config) as simulator, httpx2.Client(base_url=simulator.base_url, headers=headers) as http:
        assert http.post("/v1/messages/batches", json={"requests": tiny}).status_code == 400
        refused = http.post("/v1/messages/batches", json={"requests": huge})
        assert (refused.status_code, refused.json()["error"]["type"]) == (413, "request_too_large")
        assert http.post("/v1/messages/batches", json={"requests": tiny[:2]}).status_code == 200


def test_a_body_may_come_in_chunks(http: httpx2.Client, item: Build) -> None:
    body = json.dumps({"requests": [item("a"), item("b")]}).encode()
    answer = http.post("/v1/messages/batches", content=(body[i : i + 7] for i in range(0, len(body), 7)))
    assert answer.json()["request_counts"]["processing"] == 2


MARKED = {"type": "text", "text": "x", "cache_control": {"type": "ephemeral"}}
MARKED_1H = {"type": "text", "text": "x", "cache_control": {"type": "ephemeral", "ttl": "1h"}}
UNMARKABLE = {"type": "text", "text": "", "cache_control": {"type": "ephemeral"}}


@pytest.mark.parametrize(
    ("fields", "kind", "complaint"),
    [
        ({"stream": True}, "invalid_request_error", "stream"),
        ({"speed": "fast"}, "invalid_request_error", "speed"),
        ({"max_tokens": 0}, "invalid_request_error", "max_tokens"),
        ({"model": "claude-1"}, "not_found_error", "model: claude-1"),
        ({"messages": None}, "invalid_request_error", "messages"),
        ({"temperature": 1}, "invalid_request_error", "temperature"),
        ({"system": [MARKED] * 5}, "invalid_request_error", "Found 5."),
        ({"system": [MARKED, MARKED_1H]}, "invalid_request_error", "must not come after"),
        ({"system": [UNMARKABLE]}, "invalid_request_error", "empty text"),
    ],
)
def test_bad_params_come_back_as_errored_results(
    simulator: RunningSimulator, item: Build, finish: Finish, fields: Json, kind: str, complaint: str
) -> None:
    done = finish(item("good"), item("bad", **fields))
    assert done["good"]["type"] == "succeeded"
    assert done["bad"]["type"] == "errored"
    assert done["bad"]["error"]["type"] == "error"
    assert done["bad"]["error"]["error"]["type"] == kind
    assert complaint in done["bad"]["error"]["error"]["message"]
    assert simulator.bill()["requests"] == 1


def test_the_older_version_takes_sampling_parameters_of_an_older_model(item: Build, finish: Finish) -> None:
    asked = item("a", model="claude-haiku-4-5", temperature=0.5)
    assert finish(asked)["a"]["type"] == "errored"
    assert finish(asked, anthropic_version="2023-06-01")["a"]["type"] == "succeeded"


def test_params_that_are_no_object_come_back_as_errored(finish: Finish) -> None:
    assert finish({"custom_id": "a", "params": [1]})["a"]["type"] == "errored"


def test_the_log_tells_an_item_that_arrived_twice(
    simulator: RunningSimulator, client: anthropic.Anthropic, item: Build, post_batch: Build
) -> None:
    first = post_batch(item("a"), item("b"))
    assert simulator.log()["duplicated_params"] == 0
    post_batch({**item("a"), "custom_id": "other"}, item("c"))
    log = simulator.log()
    assert (log["creates_seen"], log["duplicated_params"]) == (2, 1)
    assert [batch["custom_ids"] for batch in log["batches"]] == [["a", "b"], ["c", "other"]]
    assert log["batches"][0]["account"] == simulator.account("key-a")
    client.messages.batches.cancel(first["id"])
    simulator.advance(60)
    assert simulator.log()["duplicated_params"] == 0


@pytest.mark.parametrize(
    ("wish", "first", "second"),
    [
        ("overloaded_once", "overloaded_error", "succeeded"),
        ("api_error_once", "api_error", "succeeded"),
        ("timeout_once_in_batches", "timeout_error", "succeeded"),
        ("invalid", "invalid_request_error", "invalid_request_error"),
        ("expired_once", "expired", "succeeded"),
        ("never heard of", "succeeded", "succeeded"),
    ],
)
def test_a_request_can_ask_for_its_own_accident(
    item: Build, finish: Finish, wish: str, first: str, second: str
) -> None:
    asked = item("a", metadata={"user_id": f"simulate:{wish}"})
    outcomes = [finish(asked)["a"] for _ in range(2)]
    kinds = [done["error"]["error"]["type"] if done["type"] == "errored" else done["type"] for done in outcomes]
    assert kinds == [first, second]


def test_a_call_has_the_accidents_it_asks_for_but_not_those_of_batches(http: httpx2.Client, params: Build) -> None:
    def status(wish: str) -> int:
        asked = params(metadata={"user_id": f"simulate:{wish}"})
        return http.post("/v1/messages", json=asked).status_code

    assert [status("overloaded_once"), status("overloaded_once")] == [529, 200]
    assert [status("overloaded_in_batches"), status("expired")] == [200, 200]


def test_accidents_can_be_ordered_for_some_items(simulator: RunningSimulator, item: Build, finish: Finish) -> None:
    simulator.accident(kind="overloaded", custom_id="^bad", times=1)
    items = [item("good"), item("bad-1"), item("bad-2")]
    kinds = {custom_id: done["type"] for custom_id, done in finish(*items).items()}
    assert kinds == {"good": "succeeded", "bad-1": "errored", "bad-2": "errored"}
    assert {done["type"] for done in finish(*items).values()} == {"succeeded"}
    simulator.accident(kind="expired", fraction=0.5, times=0)
    many = finish(*(item(f"q{index}") for index in range(200)))
    assert 60 < sum(done["type"] == "expired" for done in many.values()) < 140
    simulator.clear_accidents()
    assert {done["type"] for done in finish(*items).values()} == {"succeeded"}


def test_accidents_can_be_on_order_from_the_start(item: Build) -> None:
    config = SimulatorConfig(batch_seconds=0, accidents=(AccidentRule(kind="rate_limit"),))
    with (
        running(config) as simulator,
        anthropic.Anthropic(base_url=simulator.base_url, api_key="k") as client,
    ):
        batch = client.messages.batches.create(requests=[item("a")])
        (line,) = client.messages.batches.results(batch.id)
        assert line.result.error.error.type == "rate_limit_error"
