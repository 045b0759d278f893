"""`anchor`, `verify --anchor` and `purge`, as people run them."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from ledger import Ledger
from tests.support.tampering import make_log_writable


@pytest.fixture
def done(program: Any, request_line: Callable[..., bytes]) -> Any:
    """Three answered requests of one key, one of another."""
    program("submit", program.file(*map(request_line, range(3))))
    program("submit", program.file(request_line(7)), "--key", "other")
    assert program("run", "--until-idle").code == 0
    return program


def results(program: Any, *arguments: str) -> dict[str, Any]:
    return {line["custom_id"]: line for line in program("results", *arguments).lines}


# --- anchors -------------------------------------------------------------------------------------------------


def test_an_anchor_goes_to_stdout_or_to_the_end_of_a_file(done: Any, tmp_path: Path) -> None:
    file = tmp_path / "anchors.jsonl"
    head = done("verify", "--json").document
    shown = done("anchor").document
    assert (shown["position"], shown["hash"]) == (head["events"], head["head"])
    assert shown["exported_at"].endswith("Z")
    assert done("anchor", "-o", str(file)).out == f"anchored event {head['events']} in {file}\n"
    assert done("anchor", "-o", str(file), "--json").document["hash"] == head["head"]
    assert len(file.read_text().splitlines()) == 2
    verified = done("verify", "--anchor", str(file), "--json")
    assert verified.document == {**head, "anchors": 2}
    assert head["anchors"] == 0
    assert "2 anchors borne out" in done("verify", "--anchor", str(file)).out


def test_the_last_event_gone_is_found_by_an_anchor(done: Any, tmp_path: Path) -> None:
    file = tmp_path / "anchors.jsonl"
    position = done("anchor", "-o", str(file), "--json").document["position"]
    with Ledger.open(done.url) as ledger:
        make_log_writable(ledger.database)
    done.alter(
        f"DELETE FROM events WHERE position = {position}",
        f"UPDATE ledger_head SET position = {position - 1}, "
        f"hash = (SELECT hash FROM events WHERE position = {position - 1})",
        "DELETE FROM anchors",
    )
    assert done("rebuild").code == 0
    assert done("verify").code == 0
    found = done("verify", "--anchor", str(file), "--json")
    assert found.code == 3
    assert found.document["sound"] is False
    assert found.document["problems"] == [f"{file}, line 1: event {position} was anchored, and is gone"]
    refused = done("anchor", "-o", str(file))
    assert refused.code == 3
    assert "run `llm-ledger verify`" in refused.complaint


def test_bad_anchor_files_are_told(program: Any, tmp_path: Path) -> None:
    file = tmp_path / "anchors.jsonl"
    program("init")
    program("anchor", "-o", str(file))
    file.write_bytes(file.read_bytes() + b"nonsense\n")
    for arguments in (("verify", "--anchor", str(file)), ("anchor", "-o", str(file))):
        refused = program(*arguments)
        assert refused.code == 2
        assert refused.complaint.startswith(f"{file}, line 2: is no anchor: ")
    missing = program("verify", "--anchor", str(tmp_path / "none"))
    assert (missing.code, missing.complaint) == (2, f"{tmp_path / 'none'}: No such file or directory")


def test_an_empty_ledger_has_nothing_to_anchor(newcomer: Any) -> None:
    assert newcomer("anchor").code == 3  # there is no ledger at all
    newcomer("init")
    assert newcomer("anchor").document["position"] == 1  # the adoption of the price book


# --- purge ---------------------------------------------------------------------------------------------------


def test_purged_bodies_are_told_and_everything_else_stays(done: Any) -> None:
    before = results(done)
    savings = done("savings", "--json").out
    would = done("purge", "--older-than", "0s", "--dry-run", "--json").document
    assert (would["requests"], would["dry_run"], would["key"]) == (4, True, None)
    assert results(done) == before
    purged = done("purge", "--older-than", "0s", "--json").document
    assert {**purged, "before": 0} == {**would, "before": 0, "dry_run": False}
    assert purged["bodies"] == 8
    after = results(done)
    assert after == {name: {**line, "result": None, "result_purged": True} for name, line in before.items()}
    assert done("savings", "--json").out == savings
    assert done("verify").code == 0
    assert done("purge", "--older-than", "0s").out.startswith("nothing to purge")


def test_a_purged_request_can_be_shown(done: Any) -> None:
    document = done("show", "q-1", "--json").document
    assert (document["params_purged"], document["result_purged"]) == (False, False)
    assert "purged" not in done("show", "q-1").out
    done("purge", "--older-than", "0d")
    document = done("show", "q-1", "--json").document
    assert (document["params"], document["result"]) == (None, None)
    assert (document["params_purged"], document["result_purged"]) == (True, True)
    assert "its params and result" in done("show", "q-1").out


def test_one_key_is_purged_by_itself(done: Any) -> None:
    assert "of 1 request" in done("purge", "--older-than", "0s", "--key", "other").out
    assert {name: line["result"] is None for name, line in results(done).items()} == {
        "q-0": False,
        "q-1": False,
        "q-2": False,
        "q-7": True,
    }


def test_young_and_waiting_requests_keep_their_bodies(done: Any, request_line: Any) -> None:
    done("submit", done.file(request_line(9)))
    assert done("purge", "--older-than", "1h").out.startswith("nothing to purge")
    assert "of 4 requests" in done("purge", "--older-than", "0s").out
    assert results(done)["q-9"]["status"] == "pending"
    assert "result_purged" not in results(done)["q-9"]
    assert done("run", "--until-idle").code == 0
    assert results(done)["q-9"]["status"] == "succeeded"


def test_a_file_that_was_purged_is_still_on_record(done: Any, request_line: Any) -> None:
    done("purge", "--older-than", "0s")
    again = done("submit", done.file(*map(request_line, range(3))), "--json").document
    assert (again["recorded"], again["skipped"]) == (0, 3)
    changed = done("submit", done.file(request_line(1, question="Something else?")))
    assert changed.code == 2
    assert "with other params" in changed.complaint


@pytest.mark.parametrize("age", ["30", "-1d", "abc", "", "d", "1w", "9999999999999d"])
def test_what_is_no_age_is_refused(finished: Any, age: str) -> None:
    program, _ = finished
    refused = program("purge", "--older-than", age)
    assert refused.code == 2
    assert "is no age; write 30d, 12h or 90m" in " ".join(refused.err.replace("│", " ").split())
    assert results(program)["q-1"]["result"] is not None


def test_an_age_beyond_all_time_and_a_missing_one_are_refused(finished: Any) -> None:
    program, _ = finished
    assert "nothing is that old" in program("purge", "--older-than", "2000000d").complaint
    assert program("purge").code == 2


def test_json_tells_the_instant(finished: Any) -> None:
    program, _ = finished
    document = program("purge", "--older-than", "30d", "--dry-run", "--json").document
    assert document["before"].endswith("Z")
    assert (document["requests"], document["bodies"], document["bytes"]) == (0, 0, 0)
