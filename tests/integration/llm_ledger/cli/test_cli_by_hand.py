"""`cancel` and `retry`: what they do to requests and batches, and what they say of the rest."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import closing
from typing import Any

import pytest

from ledger import Ledger
from ledger.events import RequestAbandoned, RequestCostUnknown
from ledger.queries import find_request
from llm_ledger.simulator import RunningSimulator, SimulatorConfig, running
from scheduler import Context, Policy, Worker
from scheduler.context import request_event
from scheduler.providers.anthropic import AnthropicBatches, AnthropicSettings

POLICY = Policy(max_age_seconds=0.0, poll_min_seconds=0.05, poll_max_seconds=0.2)


@pytest.fixture
def slow(program: Any) -> Iterator[RunningSimulator]:
    """A provider whose batches end when they are canceled."""
    with running(SimulatorConfig(batch_seconds=3600, cancel_seconds=0)) as simulator:
        program.settings["ANTHROPIC_BASE_URL"] = simulator.base_url
        yield simulator


def plan(program: Any, *, send: bool = False) -> dict[str, Any]:
    """Make one batch of what waits, perhaps send it; its document."""
    with (
        Ledger.open(program.url) as ledger,
        closing(AnthropicBatches(AnthropicSettings.from_env(program.settings))) as provider,
    ):
        worker = Worker(Context(ledger=ledger, provider=provider, policy=lambda: POLICY))
        assert worker.plan()
        if send:
            assert worker.advance()
    return program("batches", "--json").lines[-1]  # type: ignore[no-any-return]


def give_up(program: Any, custom_id: str) -> None:
    """Abandon a request of which nobody knows whether it was answered."""
    with (
        Ledger.open(program.url) as ledger,
        closing(AnthropicBatches(AnthropicSettings.from_env(program.settings))) as provider,
    ):
        context = Context(ledger=ledger, provider=provider, policy=lambda: POLICY)
        row = find_request(ledger, custom_id)
        unknown, given_up = RequestCostUnknown(reason="nobody saw it"), RequestAbandoned(reason="lost", attempts=1)
        events = [request_event(context, row, unknown), request_event(context, row, given_up, ahead=2)]
        ledger.append(events)


def submitted(program: Any, request_line: Any, many: int) -> None:
    program("submit", program.file(*(request_line(number) for number in range(1, many + 1))))


def statuses(program: Any) -> list[str]:
    return [row["status"] for row in program("requests", "--json").lines]


def test_a_waiting_request_is_canceled_without_a_key(program: Any, request_line: Any) -> None:
    submitted(program, request_line, 2)
    done = program("cancel", "q-1", "--reason", "a typing error", ANTHROPIC_API_KEY="")
    assert (done.code, done.out) == (0, "request q-1 is canceled\n")
    assert "a typing error" in program("show", "q-1").out
    assert program("cancel", "q-2", "--json").document["status"] == "canceled"
    again = program("cancel", "q-2")
    assert again.code == 2
    assert "has ended already: canceled" in again.complaint
    assert program("verify").code == 0


def test_one_in_a_planned_batch_leaves_it(program: Any, request_line: Any) -> None:
    submitted(program, request_line, 3)
    planned = plan(program)
    assert program("cancel", "q-2", ANTHROPIC_API_KEY="").code == 0
    first, second = program("batches", "--json").lines
    assert (first["id"], first["status"], second["request_count"]) == (planned["id"], "failed", 2)
    assert program("run", "--until-idle").code == 0
    assert statuses(program) == ["succeeded", "canceled", "succeeded"]


def test_a_planned_batch_is_canceled_without_a_key(program: Any, request_line: Any) -> None:
    submitted(program, request_line, 2)
    planned = plan(program)
    done = program("cancel", planned["id"], ANTHROPIC_API_KEY="")
    assert (done.code, done.out) == (0, f"batch {planned['id']} is canceled, and its 2 requests with it\n")
    assert statuses(program) == ["canceled"] * 2
    assert program("verify").code == 0


def test_a_batch_in_progress_is_canceled_by_its_provider(
    program: Any, slow: RunningSimulator, request_line: Any
) -> None:
    submitted(program, request_line, 2)
    sent = plan(program, send=True)
    single = program("cancel", "q-1")
    assert single.code == 2
    assert f"`llm-ledger cancel {sent['id']}`" in single.complaint
    assert program("cancel", sent["id"], ANTHROPIC_API_KEY="").code == 3
    assert program("cancel", sent["id"], ANTHROPIC_API_KEY="sk-of-somebody-else").code == 2
    assert program("batches", "--json").document["status"] == "in_progress"
    assert program("cancel", sent["provider_batch_id"], "--json").document["status"] == "canceling"
    assert program("run", "--until-idle").code == 0
    assert statuses(program) == ["canceled"] * 2
    assert program("cancel", sent["id"]).code == 2


def test_a_cancelation_that_the_provider_does_not_hear_is_on_record(
    program: Any, slow: RunningSimulator, request_line: Any
) -> None:
    submitted(program, request_line, 1)
    sent = plan(program, send=True)
    slow.fault(endpoint="batches.cancel", kind="status", status=500, times=5)
    done = program("cancel", sent["id"])
    assert done.code == 4
    assert done.complaint.startswith("recorded; `llm-ledger run` repeats it: ")
    slow.clear_faults()
    assert program("run", "--until-idle").code == 0
    assert statuses(program) == ["canceled"]


@pytest.mark.parametrize("many", [1, 2])
def test_the_beginning_of_several_things_names_none_of_them(program: Any, request_line: Any, many: int) -> None:
    submitted(program, request_line, many)
    planned = plan(program)
    common = planned["id"][:6]
    assert all(row["id"].startswith(common) for row in program("requests", "--json").lines)
    done = program("cancel", common)
    assert done.code == 2
    assert ("both a request and a batch begin like that" if many == 1 else "several requests") in done.complaint
    assert program("show", common).code == 2
    assert program("cancel", "nobody").code == 2
    assert program("batches", "--json").document["status"] == "planned"
    assert program("cancel", f"batch/{planned['id']}").code == 0


def test_what_was_refused_for_good_is_sent_again(program: Any, request_line: Any) -> None:
    refused = request_line(2, params={"metadata": {"user_id": "simulate:invalid"}})
    program("submit", program.file(request_line(1), refused))
    assert program("run", "--until-idle").code == 1
    assert program("retry", "q-1").code == 2
    done = program("retry", "q-2", ANTHROPIC_API_KEY="")
    assert (done.code, done.out) == (0, "request q-2 is in the queue again\n")
    assert "by hand" in program("show", "q-2").out
    assert program("run", "--until-idle").code == 1
    assert statuses(program) == ["succeeded", "errored"]
    assert program("verify").code == 0


def test_what_may_be_paid_for_twice_needs_a_yes(program: Any, request_line: Any) -> None:
    submitted(program, request_line, 2)
    give_up(program, "q-1")
    done = program("retry", "q-1")
    assert done.code == 2
    assert "paid for twice" in done.complaint
    assert statuses(program) == ["abandoned", "queued"]
    assert program("retry", "q-1", "--yes", "--json").document["status"] == "queued"
    assert program("run", "--until-idle").code == 0
    assert statuses(program) == ["succeeded"] * 2


def test_all_that_was_given_up_is_sent_again(program: Any, request_line: Any) -> None:
    submitted(program, request_line, 3)
    give_up(program, "q-1")
    give_up(program, "q-3")
    assert program("retry", "--all-abandoned", "--key", "other").code == 0
    assert program("retry", "--all-abandoned").code == 2
    done = program("retry", "--all-abandoned", "--yes", "--json")
    assert [line["custom_id"] for line in done.lines] == ["q-1", "q-3"]
    assert statuses(program) == ["queued"] * 3


def test_what_was_purged_is_named(program: Any, request_line: Any) -> None:
    submitted(program, request_line, 2)
    give_up(program, "q-1")
    assert program("purge", "--older-than", "0s").code == 0
    done = program("retry", "q-1", "--yes")
    assert done.code == 2
    assert "request q-1" in done.complaint
    assert "were purged" in done.complaint
    every = program("retry", "--all-abandoned", "--yes")
    assert every.code == 0
    assert "cannot be sent again" in every.err


@pytest.mark.parametrize("arguments", [(), ("q-1", "--all-abandoned"), ("nobody",)])
def test_what_makes_no_sense_is_bad_input(program: Any, request_line: Any, arguments: tuple[str, ...]) -> None:
    submitted(program, request_line, 1)
    assert program("retry", *arguments).code == 2
