"""`run`: how it ends, and that nothing is lost however it ends."""

from __future__ import annotations

import signal
from collections.abc import Iterator
from decimal import Decimal
from typing import Any

import pytest

import scheduler.worker
from ledger.errors import DatabaseUnavailable, DatabaseUnusable
from ledger.queries import batches
from llm_ledger.cli.account_of_run import RunAccount
from llm_ledger.simulator import RunningSimulator, SimulatorConfig, running
from scheduler import Context
from scheduler.providers.anthropic import AnthropicBatches, AnthropicSettings


@pytest.fixture
def slow(program: Any) -> Iterator[RunningSimulator]:
    """A provider whose batches never end."""
    with running(SimulatorConfig(batch_seconds=3600)) as simulator:
        program.settings["ANTHROPIC_BASE_URL"] = simulator.base_url
        yield simulator


def statuses(program: Any) -> set[str]:
    return {row["status"] for row in program("requests", "--json").lines}


def under_way(ledger: Any) -> bool:
    return any(batch.status == "in_progress" for batch in batches(ledger))


def test_requests_that_are_refused_for_good_make_exit_code_1(program: Any, request_line: Any) -> None:
    refused = request_line(2, params={"metadata": {"user_id": "simulate:invalid"}})
    program("submit", program.file(request_line(1), refused))
    done = program.process("run", "--until-idle")
    assert done.code == 1
    assert done.complaint.startswith("1 succeeded, 1 failed")
    assert [line["status"] for line in program("results").lines] == ["succeeded", "errored"]


def test_without_a_key_it_says_so_at_once(program: Any, request_line: Any) -> None:
    program("submit", program.file(request_line(1)))
    done = program("run", "--until-idle", ANTHROPIC_API_KEY="")
    assert done.code == 3
    assert "ANTHROPIC_API_KEY" in done.complaint
    assert statuses(program) == {"queued"}


def test_a_wrong_key_ends_it_and_requests_stay_queued(program: Any, request_line: Any) -> None:
    program("submit", program.file(request_line(1)))
    done = program("run", "--until-idle", ANTHROPIC_API_KEY="invalid-sk-canary-4711")
    assert done.code == 4
    assert "1 request stay queued" in done.complaint.replace("requests", "request")
    assert program("results").document["status"] == "pending"
    assert program("run", "--until-idle").code == 0
    assert program("results").document["status"] == "succeeded"


def test_an_unreachable_provider_is_given_up_and_requests_stay_queued(program: Any, request_line: Any) -> None:
    program("submit", program.file(request_line(1)))
    done = program("run", "--until-idle", "--give-up-after", "0.3s", ANTHROPIC_BASE_URL="http://127.0.0.1:1")
    assert done.code == 4
    assert done.complaint.startswith("gave up after")
    assert program("results").document["status"] == "pending"


def test_sigterm_ends_a_service_and_another_account_cannot_go_on(
    program: Any, request_line: Any, slow: RunningSimulator
) -> None:
    program("submit", program.file(request_line(1)))
    with program.start("run") as process:
        program.wait_until(under_way)
        process.send_signal(signal.SIGTERM)
        _, err = process.communicate(timeout=30)
    assert process.returncode == 0
    assert "stopping after the steps under way" in err
    done = program("run", "--until-idle", ANTHROPIC_API_KEY="sk-another")
    assert done.code == 4
    assert "another account" in done.complaint
    assert len(slow.log()["batches"]) == 1


def test_an_interrupted_run_ends_with_130(program: Any, request_line: Any, slow: RunningSimulator) -> None:
    program("submit", program.file(request_line(1)))
    with program.start("run", "--until-idle") as process:
        program.wait_until(under_way)
        process.send_signal(signal.SIGINT)
        _, err = process.communicate(timeout=30)
    assert process.returncode == 130
    assert "Traceback" not in err
    assert program("verify").code == 0


@pytest.mark.parametrize("duration", ["soon", "10 parsecs", "-1s", ""])
def test_an_unreadable_duration_is_a_usage_error(program: Any, duration: str) -> None:
    assert program("run", "--until-idle", "--give-up-after", duration).code == 2


def test_an_unusable_setting_is_named(program: Any) -> None:
    done = program("run", "--until-idle", LLM_LEDGER_LEASE_SECONDS="never")
    assert done.code == 3
    assert "LLM_LEDGER_LEASE_SECONDS" in done.complaint


def test_a_database_that_fails_under_way_ends_it(
    program: Any, request_line: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*_: object) -> int:
        raise DatabaseUnusable("the disk is full")

    program("submit", program.file(request_line(1)))
    monkeypatch.setattr("scheduler.worker.accumulate", full)
    done = program("run")
    assert done.code == 3
    assert done.complaint == "the disk is full"


def test_a_database_that_is_gone_for_a_moment_is_waited_for(
    program: Any, request_line: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    gone = iter([DatabaseUnavailable("locked")] * 2)
    real = scheduler.worker.accumulate

    def failing(context: Context) -> int:
        if (error := next(gone, None)) is not None:
            raise error
        return real(context)

    program("submit", program.file(request_line(1)))
    monkeypatch.setattr("scheduler.worker.accumulate", failing)
    done = program("run", "--until-idle")
    assert done.code == 0
    assert done.complaint.startswith("1 succeeded, 0 failed")
    said = [line.split(" ", 2)[2] for line in done.err.splitlines() if "the ledger's database" in line]
    assert said[0] == "the ledger's database cannot be used now: locked; trying again, nothing is lost"
    assert len(said) == 2
    assert said[1].startswith("the ledger's database can be used again, after ")


def test_a_database_that_stays_away_is_given_up(
    program: Any, request_line: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    def gone(*_: object) -> int:
        raise DatabaseUnavailable("locked")

    program("submit", program.file(request_line(1)))
    monkeypatch.setattr("scheduler.worker.accumulate", gone)
    done = program("run", "--until-idle", "--give-up-after", "0.3s")
    assert done.code == 3
    assert done.complaint.startswith("gave up after ")
    assert done.complaint.endswith(" s: locked; nothing is lost, run again to go on")


def test_questions_at_the_end_of_a_run_are_asked_again(
    program: Any, request_line: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    gone = iter([DatabaseUnavailable("locked")])
    real = RunAccount.close

    def failing(account: RunAccount) -> dict[str, Any]:
        if (error := next(gone, None)) is not None:
            raise error
        return real(account)

    monkeypatch.setattr(RunAccount, "close", failing)
    program("submit", program.file(request_line(1)))
    done = program("run", "--until-idle")
    assert (done.code, done.complaint[:11]) == (0, "1 succeeded")


def test_bars_get_into_nobodys_way(program: Any, request_line: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("llm_ledger.cli.progress.watched", lambda: True)
    monkeypatch.setattr("llm_ledger.cli.run_display.watched", lambda: True)
    monkeypatch.setattr("llm_ledger.cli.run_display.BAR_SECONDS", 0.0)
    assert program("submit", program.file(*map(request_line, range(3)))).out == "recorded 3 requests\n"
    done = program("run", "--until-idle", "--json")
    assert (done.code, done.document["requests"]["succeeded"]) == (0, 3)
    assert program("verify", "--json").document["sound"] is True
    assert program("results", "-o", str(program.folder / "results.jsonl")).out == ""


@pytest.mark.parametrize(("key", "code"), [("sk-canary-4711", 0), ("invalid-sk-canary-4711", 4), ("", 3)])
def test_connections_are_closed_however_a_run_ends(
    program: Any, request_line: Any, monkeypatch: pytest.MonkeyPatch, key: str, code: int
) -> None:
    left_open: list[AnthropicBatches] = []

    class Watched(AnthropicBatches):
        def __init__(self, settings: AnthropicSettings) -> None:
            super().__init__(settings)
            left_open.append(self)

        def close(self) -> None:
            super().close()
            left_open.remove(self)

    monkeypatch.setattr("scheduler.providers.anthropic.AnthropicBatches", Watched)
    program("submit", program.file(request_line(1)))
    assert program("run", "--until-idle", ANTHROPIC_API_KEY=key).code == code
    assert left_open == []


def test_the_budget_ends_it_and_requests_stay_queued(program: Any, request_line: Any) -> None:
    program("submit", program.file(*(request_line(number) for number in range(3))))
    done = program("run", "--until-idle", LLM_LEDGER_BUDGET_USD="0.000001")
    assert done.code == 4
    assert "budget reached: $0 of $0.000001 spent" in done.complaint
    assert done.complaint.endswith("raise LLM_LEDGER_BUDGET_USD to go on with it; 3 requests stay queued")
    assert [line["status"] for line in program("results").lines] == ["pending"] * 3
    assert program("run", "--until-idle", LLM_LEDGER_BUDGET_USD="5/day").code == 0
    assert {line["status"] for line in program("results").lines} == {"succeeded"}


def test_a_batch_that_was_made_twice_is_found_and_costed_in_the_same_run(program: Any, request_line: Any) -> None:
    with running(SimulatorConfig(batch_seconds=0.2)) as simulator:
        program.settings["ANTHROPIC_BASE_URL"] = simulator.base_url
        simulator.fault(endpoint="batches.create", kind="twice")
        program("submit", program.file(request_line(1), request_line(2)))
        done = program.process("run", "--until-idle")
        assert done.code == 0
        assert ": twin, recorded as " in done.err
        document = program("savings", "--json").document
        assert Decimal(document["cost"]["actual"]) == Decimal(simulator.bill()["total"])
        assert Decimal(document["waste"]["duplicates"]) > 0
