"""Lists, results and `show`: what they hold, and how they end."""

from __future__ import annotations

from contextlib import AbstractContextManager, nullcontext
from pathlib import Path
from typing import Any

import pytest

from llm_ledger.cli.progress import Bar


@pytest.mark.parametrize("command", ["requests", "batches", "events"])
def test_lists_give_one_object_per_line_and_take_a_limit(finished: Any, command: str) -> None:
    program, _ = finished
    everything = program(command, "--json").lines
    assert everything
    assert program(command, "--json", "--limit", "1").lines == everything[:1]
    assert program(command, "--json", "--limit", "0").out == ""
    assert len(program(command).out.splitlines()) == len(everything) + 1


def test_requests_can_be_chosen(finished: Any) -> None:
    program, _ = finished
    (batch,) = program("batches", "--json").lines
    (failed,) = program("requests", "--json", "--status", "errored").lines
    assert (failed["custom_id"], failed["cost"], failed["error_type"]) == ("q-25", None, "invalid_request_error")
    assert len(program("requests", "--json", "--batch", batch["provider_batch_id"]).lines) == 25
    assert len(program("requests", "--json", "--status", "errored", "--status", "succeeded").lines) == 25
    assert program("requests", "--json", "--key", "nobody").out == ""
    assert program("requests", "--status", "nonsense").code == 2
    assert program("requests", "--batch", "nonsense").code == 2


def test_events_are_the_log(finished: Any) -> None:
    program, _ = finished
    events = program("events", "--json").lines
    assert [event["position"] for event in events] == list(range(1, len(events) + 1))
    assert events[-1]["hash"] == program("verify", "--json").document["head"]
    stream = events[1]["stream_id"]
    assert program("events", "--json", "--stream", stream, "--after", "1").lines == [
        event for event in events[1:] if event["stream_id"] == stream
    ]


def test_results_have_the_providers_own_shape(finished: Any) -> None:
    program, _ = finished
    by_id = {line["custom_id"]: line for line in program("results").lines}
    assert set(by_id["q-1"]) == {"custom_id", "key", "status", "result", "cost"}
    assert by_id["q-1"]["result"]["type"] == "succeeded"
    assert by_id["q-1"]["result"]["message"]["usage"]["service_tier"] == "batch"
    assert (by_id["q-25"]["status"], by_id["q-25"]["cost"]) == ("errored", None)
    assert by_id["q-25"]["result"]["error"]["error"]["type"] == "invalid_request_error"


def test_results_go_to_a_file_in_one_piece(finished: Any, tmp_path: Path) -> None:
    program, _ = finished
    target = tmp_path / "results.jsonl"
    assert program("results", "-o", str(target), "--status", "succeeded").out == ""
    assert len(target.read_text().splitlines()) == 24
    assert [path.name for path in tmp_path.iterdir()] == ["results.jsonl"]
    assert program("results", "-o", str(tmp_path / "none" / "results.jsonl")).code == 2
    assert program("results", "-o", str(tmp_path)).code == 2


def test_pending_requests_have_results_too(program: Any, request_line: Any) -> None:
    program("submit", program.file(request_line(1)))
    pending = {"custom_id": "q-1", "key": "default", "status": "pending", "result": None, "cost": None}
    assert program("results", "--status", "pending").document == pending
    assert program("results", "--status", "succeeded").out == ""


def test_show_explains_a_request_by_any_of_its_names(finished: Any) -> None:
    program, _ = finished
    shown = program("show", "q-1", "--json").document
    assert [event["type"] for event in shown["events"]] == [
        "request.recorded",
        "request.batched",
        "request.succeeded",
        "cache_usage.recorded",
    ]
    assert shown["params"]["messages"] == [{"role": "user", "content": "What is 1 + 1?"}]
    assert shown["result"]["type"] == "succeeded"
    assert program("show", shown["id"], "--json").document == shown
    told = program("show", "q-1").out
    for words in ("request.succeeded", "per million", "the same without cache at standard prices", "saved by batch"):
        assert words in told


def test_show_explains_a_batch_by_any_of_its_names(finished: Any) -> None:
    program, bill = finished
    (batch,) = program("batches", "--json").lines
    shown = program("show", batch["id"], "--json").document
    assert shown["kind"] == "batch"
    assert shown["requests"] == {"succeeded": 24, "errored": 1}
    assert shown["requests_cost"] == bill["total"]
    assert program("show", batch["provider_batch_id"], "--json").document == shown
    assert "batch.results_collected" in program("show", batch["id"]).out


@pytest.mark.parametrize("wanted", ["nothing", "msgbatch_unknown", "01", ""])
def test_an_unknown_id_is_bad_input(finished: Any, wanted: str) -> None:
    program, _ = finished
    done = program("show", wanted)
    assert done.code == 2
    assert "nothing in this ledger has that id" in done.complaint


def test_a_custom_id_under_two_keys_asks_for_the_key(program: Any, request_line: Any) -> None:
    file = program.file(request_line(1))
    program("submit", file)
    program("submit", file, "--key", "second")
    assert "--key" in program("show", "q-1").complaint
    assert program("show", "q-1", "--key", "second", "--json").document["key"] == "second"


def test_savings_are_drawn(finished: Any) -> None:
    program, _ = finished
    told = program("savings", "--by", "model").out
    for words in ("standard price, no cache", "batch saving", "cache saving", "actual cost", "claude-sonnet-5-5"):
        assert words in told


def test_the_period_of_savings(finished: Any) -> None:
    program, _ = finished
    zone = ("--timezone", "Europe/Berlin")
    inside = program("savings", "--json", "--since", "2020-01-01", "--until", "2120-01-01T00:15", *zone).document
    assert inside["requests"]["total"] == 25
    assert inside["period"]["timezone"] == "Europe/Berlin"
    assert program("savings", "--json", "--until", "2020-01-01").document["requests"]["total"] == 0


@pytest.mark.parametrize(
    "arguments",
    [
        ("--since", "2026-01-02", "--until", "2026-01-02"),
        ("--since", "yesterday"),
        ("--since", "2026-01-02T00:01"),
        ("--by", "colour"),
        ("--by", "tag:"),
        ("--timezone", "Mars/Olympus"),
    ],
)
def test_questions_that_have_no_answer_are_bad_input(finished: Any, arguments: tuple[str, ...]) -> None:
    program, _ = finished
    done = program("savings", *arguments)
    assert done.code == 2
    assert done.complaint


def test_a_reader_that_has_seen_enough_ends_it_quietly(finished: Any) -> None:
    program, _ = finished
    with program.start("events", "--json") as process:
        assert process.stdout is not None
        process.stdout.close()
        assert process.wait(30) == 0
        assert process.stderr is not None
        assert process.stderr.read() == ""


def test_a_file_name_that_no_disk_takes_is_bad_input(finished: Any, tmp_path: Path) -> None:
    program, _ = finished
    (tmp_path / "loop").symlink_to(tmp_path / "loop")
    for name in ("x" * 300, "loop/results.jsonl"):
        done = program("results", "-o", str(tmp_path / name))
        assert done.code == 2
        assert name in done.complaint


def test_the_bar_of_results_ends_at_the_limit(finished: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    program, _ = finished
    totals: list[int | None] = []

    def bar(_label: str, total: int | None) -> AbstractContextManager[Bar]:
        totals.append(total)
        return nullcontext(Bar())

    monkeypatch.setattr("llm_ledger.cli.commands.results.bar", bar)
    for limit in (["--limit", "5"], ["--limit", "500"], []):
        assert program("results", "-o", str(tmp_path / "results.jsonl"), *limit).code == 0
    assert totals == [5, 25, 25]


def test_show_takes_the_names_of_streams(finished: Any) -> None:
    program, _ = finished
    shown = program("show", "q-1", "--json").document
    assert program("show", f"request/{shown['id']}", "--json").document == shown
    (batch,) = program("batches", "--json").lines
    assert program("show", f"batch/{batch['id']}", "--json").document["kind"] == "batch"
    assert program("show", f"request/{batch['id']}").code == program("show", f"batch/{shown['id']}").code == 2


def test_a_group_that_nothing_came_to_is_for_programs_only(finished: Any, program: Any) -> None:
    asked = "savings", "--by", "tag:team"
    assert "(none)" in finished[0](*asked).out  # one request has no team
    assert [group["name"] for group in program(*asked, "--json").document["groups"]] == ["(none)"]
    assert "(none)" not in program(*asked).out
