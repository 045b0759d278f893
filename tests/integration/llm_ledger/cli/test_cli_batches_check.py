"""`batches --check`: what somebody should look at, and the exit code that says so."""

from __future__ import annotations

import time
from typing import Any

import pytest

DAY = 86_400_000_000


@pytest.fixture
def batch(program: Any, request_line: Any) -> dict[str, Any]:
    """A batch that is done."""
    program("submit", program.file(request_line(1)))
    assert program("run", "--until-idle").code == 0
    return program("batches", "--json").document  # type: ignore[no-any-return]


def now() -> int:
    return time.time_ns() // 1000


def test_nothing_is_wrong(program: Any, batch: dict[str, Any]) -> None:
    done = program("batches", "--check", ANTHROPIC_API_KEY="")
    assert (done.code, done.out) == (0, "no batch needs anybody's attention\n")
    assert program("batches", "--check", "--json").out == ""


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ("status = 'ended', created_at = {now} - 23 * {day}", "less than 7 days from now"),
        ("status = 'ended', created_at = {now} - 28.5 * {day}", "less than a day from now"),
        ("status = 'in_progress', created_at = {now} - 30 * {day}", "may be gone"),
        ("status = 'uncertain', deadline = {now} - 2 * {day}", "for more than a day"),
    ],
)
def test_what_is_wrong_is_said_without_a_key(program: Any, batch: dict[str, Any], changes: str, said: str) -> None:
    program.alter(f"UPDATE batches SET due_at = 1, {changes.format(now=now(), day=DAY)}")
    done = program("batches", "--check", ANTHROPIC_API_KEY="")
    assert done.code == 1
    (line,) = done.out.splitlines()
    assert line.startswith(f"batch {batch['id']} (")
    assert said in line
    told = program("batches", "--check", "--json").document
    assert said in told["concern"]
    assert told["id"] == batch["id"]


def test_another_key_is_a_matter_of_concern(program: Any, batch: dict[str, Any]) -> None:
    program.alter("UPDATE batches SET due_at = 1, status = 'ended'")
    assert program("batches", "--check").code == 0
    done = program("batches", "--check", ANTHROPIC_API_KEY="sk-of-somebody-else")
    assert done.code == 1
    assert "another account" in done.out


def test_to_be_uncertain_for_a_moment_is_none(program: Any, batch: dict[str, Any]) -> None:
    program.alter(f"UPDATE batches SET due_at = 1, status = 'uncertain', deadline = {now()}, note = 'timeout'")
    assert program("batches", "--check").code == 0
