"""Submit, run, and look: every figure that can be read is the same one, to the last digit."""

from __future__ import annotations

from decimal import Decimal
from typing import Any

import pytest

from ledger import Ledger
from tests.support.tampering import make_log_writable


def total(values: Any) -> Decimal:
    return sum((Decimal(value) for value in values if value is not None), start=Decimal(0))


def test_the_costs_of_requests_add_up_to_the_savings_and_to_the_bill(finished: Any) -> None:
    program, bill = finished
    report = program("savings", "--json").document
    requests = program("requests", "--json").lines
    assert len(requests) == 25
    assert total(row["cost"] for row in requests) == Decimal(report["cost"]["actual"]) == Decimal(bill["total"])
    assert total(row["no_cache"] for row in requests) == Decimal(report["cost"]["no_cache"])
    assert total(row["standard_no_cache"] for row in requests) == Decimal(report["cost"]["standard_no_cache"])
    for column, tokens in report["tokens"].items():
        assert sum(row["tokens"][column] for row in requests) == tokens == bill["tokens"][column]


def test_results_carry_the_same_costs(finished: Any) -> None:
    program, bill = finished
    assert total(line["cost"] for line in program("results").lines) == Decimal(bill["total"])


@pytest.mark.parametrize("by", ["day", "model", "provider", "tag:team", "tag:unused"])
def test_every_grouping_adds_up_to_the_total(finished: Any, by: str) -> None:
    program, bill = finished
    report = program("savings", "--json", "--by", by).document
    assert total(group["cost"]["actual"] for group in report["groups"]) == Decimal(bill["total"])
    assert sum(group["requests"]["total"] for group in report["groups"]) == report["requests"]["total"] == 25


def test_the_groups_by_model_are_the_bills(finished: Any) -> None:
    program, bill = finished
    groups = program("savings", "--json", "--by", "model").document["groups"]
    billed = {name: model["total"] for name, model in bill["models"].items()}
    assert {group["name"]: group["cost"]["actual"] for group in groups if group["requests"]["succeeded"]} == billed


def test_the_price_lines_of_a_request_add_up_to_its_cost(finished: Any) -> None:
    program, _ = finished
    for number in (1, 2, 3, 24):
        shown = program("show", f"q-{number}", "--json").document
        lines = [line for item in shown["billed"] for line in item["lines"]]
        assert total(line["amount"] for line in lines) == Decimal(shown["cost"]) > 0
        assert all(Decimal(line["rate"]) * line["quantity"] == Decimal(line["amount"]) for line in lines)
        saved = shown["savings"]
        assert Decimal(saved["batch"]) + Decimal(saved["cache"]) == Decimal(saved["total"])
        assert Decimal(shown["standard_no_cache"]) - Decimal(shown["cost"]) == Decimal(saved["total"])


def test_the_shape_of_savings_is_the_documented_one(finished: Any) -> None:
    program, _ = finished
    report = program("savings", "--json").document
    assert report["period"] == {"since": None, "until": None, "timezone": "UTC"}
    assert report["groups"] == []
    assert report["cost"]["currency"] == "USD"
    assert set(report) == {"period", "requests", "tokens", "cost", "savings", "waste", "cache", "groups"}
    assert report["requests"] | {"total": 25, "succeeded": 24, "failed": 1, "unpriced": 0} == report["requests"]


def test_a_run_that_is_done_does_nothing_more(finished: Any) -> None:
    program, _ = finished
    done = program("run", "--until-idle", "--json")
    assert done.code == 0
    assert done.document["requests"] == {"succeeded": 0, "errored": 0, "abandoned": 0, "canceled": 0}
    assert done.document["cost"] == {"actual": "0", "standard_no_cache": "0", "currency": "USD"}


def test_the_log_verifies_and_a_rebuild_changes_nothing(finished: Any) -> None:
    program, _ = finished
    before = [program(command, "--json").out for command in ("savings", "requests", "batches")]
    rebuilt = program("rebuild", "--json").document
    verified = program("verify", "--json").document
    assert [program(command, "--json").out for command in ("savings", "requests", "batches")] == before
    assert verified["sound"] is True
    assert verified["problems"] == []
    assert verified["events"] == rebuilt["events"] == len(program("events", "--json").lines)


def test_an_altered_ledger_is_found_out(program: Any, request_line: Any) -> None:
    program("submit", program.file(request_line(1), request_line(2)))
    with Ledger.open(program.url) as ledger:
        make_log_writable(ledger.database)
    program.alter("UPDATE events SET data = replace(data, 'q-2', 'q-3')")
    done = program("verify", "--json")
    assert done.code == 3
    assert done.document["sound"] is False
    assert "contradiction" in done.complaint
    assert "its body was altered" in program("verify").out
