"""Requests now, answers later: from Python as from the command line, on one ledger."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import replace
from datetime import UTC, datetime
from decimal import Decimal
from pathlib import Path
from typing import Any
from uuid import UUID

import anthropic
import pytest
from langchain_anthropic import ChatAnthropic
from langchain_core.messages import AIMessage
from typer.testing import CliRunner

from ledger import Ledger, NewEvent
from ledger.errors import ChangedRequest, ConfigurationError, InputError, InvalidLine
from ledger.events import RequestAbandoned, RequestCostUnknown, RequestRecorded, request_stream
from ledger.queries import requests
from llm_ledger.cli.app import app
from llm_ledger.simulator import RunningSimulator
from llm_optimization import OptimizationConfig, optimize_client
from llm_optimization.exceptions import BatchIncomplete
from llm_optimization.request_queue import QueuedResult, RequestQueue
from tests.support.batching import KEY, MODEL, NOW, events_of, hurry, params, slow_provider


@pytest.fixture(autouse=True)
def url(ledger_url: str, simulator: RunningSimulator, monkeypatch: pytest.MonkeyPatch) -> str:
    simulator.reset()
    hurry(monkeypatch, simulator)
    return ledger_url


def queue(key: str = "nightly", **options: Any) -> RequestQueue:
    return RequestQueue(key, config=replace(NOW, model=None), **options)


def command(*arguments: str) -> str:
    done = CliRunner().invoke(app, arguments, catch_exceptions=False)
    assert done.exit_code == 0, done.stderr
    return done.stdout


def statuses(results: Sequence[QueuedResult]) -> list[str]:
    return [result.status for result in results]


def test_what_is_submitted_waits_for_somebody_who_works(
    simulator: RunningSimulator, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("ANTHROPIC_API_KEY")
    submission = queue(model=MODEL).submit(["What is 2 + 2?", [("human", "What is 3 + 3?")]])
    assert (submission.total, submission.recorded, submission.skipped) == (2, 2, 0)
    assert statuses(list(queue().collect())) == ["pending"] * 2
    assert simulator.log()["calls"]["batches.list"] == 0
    with pytest.raises(ConfigurationError, match="ANTHROPIC_API_KEY is not set"):
        queue().run()

    monkeypatch.setenv("ANTHROPIC_API_KEY", KEY)
    queue().run()
    first, second = queue(model=MODEL).collect()
    assert isinstance(first.message, AIMessage)
    assert first.error is None
    assert first.cost is not None
    assert second.cost is not None
    assert first.cost + second.cost == Decimal(simulator.bill()["total"])


def test_the_same_list_again_adds_nothing() -> None:
    asked = queue(model=MODEL)
    assert asked.submit(["a", "b"]).recorded == 2
    again = asked.submit(["b", "a", "c"])
    assert (again.total, again.recorded, again.skipped) == (3, 1, 2)


def test_results_stand_in_the_order_of_submission_with_what_went_wrong() -> None:
    asked = queue()
    invalid = {"metadata": {"user_id": "simulate:invalid"}}
    asked.submit([params("a"), params("b", **invalid)], custom_ids=["z", "a"], tags={"team": "search"})
    asked.submit([params("c")], custom_ids=["m"])
    results = list(asked.collect(wait=True, timeout=30))
    assert [result.custom_id for result in results] == ["z", "a", "m"]
    assert statuses(results) == ["succeeded", "errored", "succeeded"]
    assert results[0].message["role"] == "assistant"
    assert results[1].error is not None
    assert results[1].error.error_type == "invalid_request_error"
    assert results[1].cost is None


def test_the_command_line_submits_and_the_queue_collects(tmp_path: Path) -> None:
    file = tmp_path / "requests.jsonl"
    file.write_text("".join(json.dumps({"custom_id": name, "params": params(name)}) + "\n" for name in "xy"))
    command("submit", str(file), "--key", "nightly", "--tag", "team=search")
    results = list(queue().collect(wait=True, timeout=30))
    assert [(result.custom_id, result.status) for result in results] == [("x", "succeeded"), ("y", "succeeded")]
    assert queue().submit([params("x")], custom_ids=["x"]).skipped == 1


def test_the_queue_submits_and_the_command_line_collects(tmp_path: Path, simulator: RunningSimulator) -> None:
    asked = queue(tags={"team": "search"})
    asked.submit([params("x"), params("y")], custom_ids=["x", "y"])
    command("run", "--until-idle")
    told = [json.loads(line) for line in command("results", "--key", "nightly").splitlines()]
    for line, result in zip(told, asked.collect(), strict=True):
        assert (line["custom_id"], line["status"]) == (result.custom_id, result.status)
        assert line["result"]["message"] == result.message
        assert Decimal(line["cost"]) == result.cost
    file = tmp_path / "again.jsonl"
    file.write_text(json.dumps({"custom_id": "x", "params": params("x")}))
    assert json.loads(command("submit", str(file), "--key", "nightly", "--json"))["skipped"] == 1
    assert simulator.bill()["requests"] == 2


def test_another_input_under_a_known_id_is_refused(url: str) -> None:
    queue().submit([params("x")], custom_ids=["x"])
    with pytest.raises(ChangedRequest, match="'x' is already recorded under key 'nightly'"):
        queue().submit([params("w"), params("y")], custom_ids=["w", "x"])
    assert len(events_of(url, RequestRecorded)) == 1


def test_one_invalid_input_refuses_all_and_is_named(url: str) -> None:
    with pytest.raises(InvalidLine, match=r"^line 2: params.max_tokens"):
        queue().submit([params("a"), params("b", max_tokens="many")])
    with pytest.raises(InvalidLine, match=r"^line 2: .*no input of a chat model"):
        queue(model=MODEL).submit(["a", 7])
    with pytest.raises(InputError, match="2 inputs and 1 custom ids"):
        queue().submit([params("a"), params("b")], custom_ids=["a"])
    with pytest.raises(InputError, match="a key is 1 to 200 characters"):
        queue("")
    assert events_of(url, RequestRecorded) == []


def test_a_chat_model_brings_its_account_and_its_settings(simulator: RunningSimulator, url: str) -> None:
    model = ChatAnthropic(
        model=MODEL, max_tokens=7, api_key="sk-of-the-model", base_url=simulator.base_url, timeout=10
    )
    asked = queue(model=model)
    asked.submit(["a"])
    (result,) = asked.collect(wait=True, timeout=30)
    assert isinstance(result.message, AIMessage)
    assert [event.max_tokens for event in events_of(url, RequestRecorded)] == [7]
    assert list(simulator.bill()["accounts"]) == [simulator.account("sk-of-the-model")]


async def test_it_can_be_used_beside_an_event_loop(simulator: RunningSimulator) -> None:
    asked = queue(model=MODEL)
    assert (await asked.asubmit(["a"])).recorded == 1
    assert statuses(await asked.acollect()) == ["pending"]
    assert statuses(await asked.acollect(wait=True, timeout=30)) == ["succeeded"]
    await asked.arun()
    assert simulator.log()["creates_seen"] == 1


def test_who_waits_no_longer_is_told_what_is_missing(monkeypatch: pytest.MonkeyPatch) -> None:
    with slow_provider() as slow:
        hurry(monkeypatch, slow)
        asked = queue()
        asked.submit([params("a")])
        while not slow.log()["batches"]:
            with pytest.raises(BatchIncomplete) as incomplete:
                asked.run(timeout=0.5)
            assert len(incomplete.value.outstanding) == 1
        slow.advance(61)
        asked.run(timeout=30)
        assert statuses(list(asked.collect())) == ["succeeded"]


@pytest.mark.parametrize("may_be_paid", [False, True])
def test_what_may_have_been_paid_for_is_told(url: str, may_be_paid: bool) -> None:
    queue().submit([params("a")])
    with Ledger.open(url) as ledger:
        (row,) = requests(ledger)
        ended: list[Any] = [RequestCostUnknown(reason="lost")] if may_be_paid else []
        ended.append(RequestAbandoned(reason="lost", attempts=1))
        stream, now = request_stream(row.id), datetime.now(UTC)
        ledger.append(
            NewEvent(stream, row.version + ahead, data, ledger.ids.new(), now, UUID(row.id))
            for ahead, data in enumerate(ended, start=1)
        )
    (result,) = queue().collect()
    assert result.error is not None
    assert result.error.may_be_paid is may_be_paid


def test_standard_calls_under_the_same_key_are_no_results_of_the_queue(simulator: RunningSimulator, url: str) -> None:
    queue().submit([params("a")])
    config = OptimizationConfig(optimization_enabled=True, key="nightly", recording="sync")
    with anthropic.Anthropic(api_key=KEY, base_url=simulator.base_url) as client:
        optimize_client(client, config).messages.create(**params("b"))
    (result,) = queue().collect(wait=True)
    assert result.status == "succeeded"
    assert result.message is not None


def test_an_empty_queue_is_done_at_once(simulator: RunningSimulator) -> None:
    assert list(queue().collect(wait=True)) == []
