"""`reconcile`: the provider's batches against the ledger, and what was done about each difference."""

from __future__ import annotations

import json
import time
import urllib.request
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from ledger import Ledger
from ledger.queries import batches
from llm_ledger.simulator import RunningSimulator, SimulatorConfig, running
from scheduler import Context, SchedulerSettings, Worker, providers


@pytest.fixture
def slow(program: Any) -> Iterator[RunningSimulator]:
    """A provider whose batches take an hour of its own clock."""
    with running(SimulatorConfig(batch_seconds=3600)) as simulator:
        program.settings["ANTHROPIC_BASE_URL"] = simulator.base_url
        yield simulator


def work(program: Any, reached: Callable[[list[str]], bool]) -> None:
    """Have a worker make steps until the batches stand like that."""
    environ = program.environment()
    chosen = SchedulerSettings.from_env(environ)
    settings = providers.settings("anthropic", environ, timeout_seconds=chosen.http_timeout_seconds)
    provider = providers.provider("anthropic", settings)
    deadline = time.monotonic() + 30
    with Ledger.open(program.url) as ledger:
        worker = Worker(Context(ledger=ledger, provider=provider, policy=chosen.policy))
        while not reached([batch.status for batch in batches(ledger)]):
            assert time.monotonic() < deadline, "it never came to that"
            worker.tick()
            time.sleep(0.02)
    provider.close()


def lost(program: Any, request_line: Any, simulator: RunningSimulator, kind: str = "drop_after") -> str:
    """A batch whose submission got no answer. Returns its id."""
    simulator.fault(endpoint="batches.create", kind=kind)
    program("submit", program.file(request_line(1), request_line(2)))
    work(program, lambda statuses: statuses == ["uncertain"])
    return str(program("batches", "--json").document["id"])


def stranger(program: Any, simulator: RunningSimulator, count: int) -> None:
    """A batch that another program of this account makes."""
    params = {"model": "claude-haiku-4-5", "max_tokens": 5, "messages": [{"role": "user", "content": "Hello"}]}
    body = {"requests": [{"custom_id": f"theirs-{number}", "params": params} for number in range(count)]}
    headers = {
        "x-api-key": program.settings["ANTHROPIC_API_KEY"],
        "anthropic-version": "2023-06-01",
        "content-type": "application/json",
    }
    url = f"{simulator.base_url}/v1/messages/batches"
    urllib.request.urlopen(urllib.request.Request(url, json.dumps(body).encode(), headers)).close()


def findings(program: Any) -> list[str]:
    done = program("reconcile", "--json")
    assert done.code == 0, done.err
    return [line["finding"] for line in done.lines]


def test_a_ledger_without_batches_has_nothing_to_compare(program: Any) -> None:
    done = program("reconcile")
    assert (done.code, done.out) == (0, "0 batches match the provider's\n")


def test_where_all_is_the_same_it_says_so_in_a_line(finished: Any) -> None:
    program, _ = finished
    assert program("reconcile").out == "1 batch matches the provider's\n"
    (line,) = program("reconcile", "--json").lines
    (batch,) = program("batches", "--json").lines
    assert (line["finding"], line["items"], line["expected"]) == ("matched", 25, 25)
    assert (line["provider_batch_id"], line["batch_id"]) == (batch["provider_batch_id"], batch["id"])


def test_a_lost_batch_is_looked_for_and_adopted_on_proof(
    program: Any, request_line: Any, slow: RunningSimulator
) -> None:
    lost(program, request_line, slow)
    stranger(program, slow, 2)
    stranger(program, slow, 3)
    assert findings(program) == ["uncertain", "stranger", "candidate", "candidate"]
    shown = program("reconcile").out
    assert "waiting for the results of 2 batches that may be this one" in shown
    assert shown.endswith("0 batches match the provider's\n")
    slow.advance(3600)
    assert findings(program) == ["adopted", "stranger", "stranger", "matched"]
    assert findings(program) == ["stranger", "stranger", "matched"]
    work(program, lambda statuses: statuses == ["collected"])
    assert slow.bill()["total"] != "0"
    assert [line["status"] for line in program("results").lines] == ["succeeded"] * 2
    assert all(batch["processing_status"] == "ended" for batch in slow.log()["batches"])


def test_a_second_batch_of_ours_is_recorded_with_its_cost(
    program: Any, request_line: Any, simulator: RunningSimulator
) -> None:
    simulator.fault(endpoint="batches.create", kind="twice")
    program("submit", program.file(request_line(1), request_line(2)))
    work(program, lambda statuses: "collected" in statuses)
    simulator.advance(3600)
    shown = program("reconcile").out
    assert "twin" in shown
    assert "recorded as" in shown
    assert program("run", "--until-idle").code == 0
    assert findings(program) == ["matched", "matched"]
    assert program("savings", "--json").document["cost"]["actual"] == simulator.bill()["total"]
    assert program("verify").code == 0


def test_a_batch_that_is_gone_at_the_provider_is_told(
    program: Any, request_line: Any, simulator: RunningSimulator
) -> None:
    program("submit", program.file(request_line(1)))
    assert program("run", "--until-idle").code == 0
    simulator.advance(60)
    (batch,) = program("batches", "--json").lines
    headers = {"x-api-key": program.settings["ANTHROPIC_API_KEY"], "anthropic-version": "2023-06-01"}
    url = f"{simulator.base_url}/v1/messages/batches/{batch['provider_batch_id']}"
    urllib.request.urlopen(urllib.request.Request(url, headers=headers, method="DELETE")).close()
    # It takes an answer to know the provider's time: the first one is that of the list.
    (line,) = program("reconcile", "--json").lines
    assert (line["finding"], line["items"], line["expected"]) == ("missing", None, 1)
    assert line["done"] == "its results are here"


def test_an_uncertain_batch_is_given_up_by_hand(program: Any, request_line: Any, slow: RunningSimulator) -> None:
    batch = lost(program, request_line, slow)
    refused = program("reconcile", "--release", batch)
    assert refused.code == 2
    assert "confirm with --yes" in refused.complaint
    done = program("reconcile", "--release", batch, "--yes")
    assert done.code == 0
    assert f"releasing {batch} sends its 2 requests again" in done.err
    assert "paid twice" in done.err
    assert done.out.startswith(f"batch {batch} is released: to be sent again: by hand (waiting for the results of 1")
    work(program, lambda statuses: statuses == ["in_progress"])
    slow.advance(3600)
    assert findings(program) == ["matched", "twin"]
    work(program, lambda statuses: statuses == ["collected", "collected"])
    assert program("savings", "--json").document["cost"]["actual"] == slow.bill()["total"]


@pytest.mark.parametrize(("answer", "status"), [("n\n", "uncertain"), ("", "uncertain"), ("y\n", "planned")])
def test_on_a_terminal_it_asks(
    program: Any,
    request_line: Any,
    slow: RunningSimulator,
    monkeypatch: pytest.MonkeyPatch,
    answer: str,
    status: str,
) -> None:
    batch = lost(program, request_line, slow)
    monkeypatch.setattr("llm_ledger.cli.commands.reconcile._somebody_to_ask", lambda: True)
    done = program("reconcile", "--release", batch, "--json", stdin=answer.encode())
    assert done.code == 0
    assert "Release it?" in done.err
    assert done.document["finding"] == ("released" if status == "planned" else "uncertain")
    assert program("batches", "--json").document["status"] == status


def test_only_an_uncertain_batch_can_be_given_up(finished: Any) -> None:
    program, _ = finished
    (batch,) = program("batches", "--json").lines
    done = program("reconcile", "--release", batch["id"], "--yes")
    assert done.code == 2
    assert "is collected: only one that is uncertain can be released" in done.complaint
    assert program("reconcile", "--release", "nothing", "--yes").code == 2


def test_a_key_that_was_replaced_goes_on_once_it_sees_a_batch(
    program: Any, request_line: Any, slow: RunningSimulator
) -> None:
    program("submit", program.file(request_line(1)))
    work(program, lambda statuses: statuses == ["in_progress"])
    (batch,) = program("batches", "--json").lines
    other = program("reconcile", "--same-account", batch["id"], ANTHROPIC_API_KEY="sk-somebody-else")
    assert other.code == 2
    assert "is not visible with the present key" in other.complaint
    present = program("reconcile", "--same-account", batch["id"])
    assert present.code == 2
    assert "already belongs to the account of the present key" in present.complaint
    assert program("reconcile", "--same-account", "nothing").code == 2
    # The same provider by another name is another account to us, until it is proven to be the same.
    program.settings["ANTHROPIC_BASE_URL"] = slow.base_url.replace("127.0.0.1", "localhost")
    done = program("reconcile", "--same-account", batch["provider_batch_id"])
    assert (done.code, done.out) == (0, "1 open batch of that account goes on with the present key\n")
    slow.advance(3600)
    work(program, lambda statuses: statuses == ["collected"])
    again = program("reconcile", "--same-account", batch["id"], "--json")
    assert again.code == 2


def test_two_things_at_once_are_refused(program: Any) -> None:
    assert program("reconcile", "--release", "a", "--same-account", "b").code == 2


@pytest.mark.parametrize(
    ("changes", "code"),
    [
        ({"ANTHROPIC_API_KEY": ""}, 3),
        ({"ANTHROPIC_BASE_URL": "http://127.0.0.1:1"}, 0),
    ],
)
def test_without_a_submission_only_the_settings_can_be_wrong(
    program: Any, changes: dict[str, str], code: int
) -> None:
    assert program("reconcile", **changes).code == code


def test_a_provider_that_does_not_answer_is_said(program: Any, request_line: Any, slow: RunningSimulator) -> None:
    lost(program, request_line, slow)
    slow.fault(endpoint="batches.list", kind="status", status=401)
    done = program("reconcile")
    assert done.code == 4
    assert "401" in done.complaint
    assert program("batches", "--json").document["status"] == "uncertain"
