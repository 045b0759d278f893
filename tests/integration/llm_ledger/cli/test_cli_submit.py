"""`submit`: whole or not at all, and never twice."""

from __future__ import annotations

from typing import Any

import pytest


def recorded(program: Any) -> list[tuple[str, str]]:
    return [(row["key"], row["custom_id"]) for row in program("requests", "--json").lines]


def test_the_same_file_records_nothing_new(program: Any, request_line: Any) -> None:
    file = program.file(*map(request_line, range(3)))
    assert program("submit", file).out == "recorded 3 requests\n"
    again = program("submit", file)
    assert (again.code, again.out) == (0, "nothing new: all 3 requests are recorded already\n")


def test_a_longer_file_records_the_rest(program: Any, request_line: Any) -> None:
    program("submit", program.file(*map(request_line, range(3))))
    longer = program.file(*map(request_line, range(5)))
    assert program("submit", longer, "--json").document == {
        "key": "default",
        "total": 5,
        "recorded": 2,
        "skipped": 3,
    }


def test_changed_params_are_refused_with_their_line_and_another_key_takes_them(
    program: Any, request_line: Any
) -> None:
    program("submit", program.file(request_line(1)))
    changed = program.file(request_line(0), request_line(1, question="Something else?"))
    refused = program("submit", changed)
    assert refused.code == 2
    assert refused.complaint.startswith("line 2: ")
    assert "--key" in refused.complaint
    assert recorded(program) == [("default", "q-1")]
    assert program("submit", changed, "--key", "second").code == 0
    assert len(program("requests", "--key", "second", "--json").lines) == 2


@pytest.mark.parametrize("bad", [b"{not json\n", b'{"custom_id": "x"}\n', b'{"custom_id": "a b", "params": {}}\n'])
def test_a_bad_line_is_named_and_nothing_of_the_file_is_recorded(program: Any, request_line: Any, bad: bytes) -> None:
    done = program("submit", program.file(request_line(1), request_line(2), bad))
    assert done.code == 2
    assert done.complaint.startswith("line 3: ")
    assert recorded(program) == []


@pytest.mark.parametrize("file", ["does-not-exist.jsonl", "."])
def test_a_file_that_cannot_be_read_is_bad_input(program: Any, file: str) -> None:
    done = program("submit", str(program.folder / file))
    assert done.code == 2
    assert file in done.complaint or "directory" in done.complaint


def test_an_unbounded_line_is_refused_before_it_fills_the_memory(
    program: Any, request_line: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("llm_ledger.cli.commands.submit.LONGEST_LINE", 50_000)
    done = program("submit", program.file(request_line(1), b"x" * 60_000))
    assert done.code == 2
    assert done.complaint == "line 2: is longer than 50,000 bytes"


def test_standard_input_tags_and_model(program: Any, request_line: Any) -> None:
    lines = request_line(1, tags={"team": "own"}) + b"\n" + request_line(2)
    done = program(
        "submit", "-", "--tag", "team=given", "--tag", "note=a=b", "--model", "claude-opus-5-5", stdin=lines
    )
    assert done.code == 0
    first, second = program("requests", "--json").lines
    assert first["tags"] == {"team": "own", "note": "a=b"}
    assert second["tags"] == {"team": "given", "note": "a=b"}
    assert first["model"] == second["model"] == "claude-opus-5-5"


@pytest.mark.parametrize("tags", [["--tag", "nothing"], ["--tag", "=x"], ["--tag", "a=1", "--tag", "a=2"]])
def test_unusable_tags_are_bad_input(program: Any, request_line: Any, tags: list[str]) -> None:
    assert program("submit", program.file(request_line(1)), *tags).code == 2
    assert recorded(program) == []


def test_an_empty_file_is_no_error(program: Any) -> None:
    assert program("submit", program.file(b"\n")).out == "nothing to record: there is no request in it\n"
