"""How a trial of another tool is judged, and in which words the table says it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from bench.other_tools.scenarios import CALM, REQUESTS, SCENARIOS
from bench.other_tools.table import rendered, told
from bench.other_tools.verdict import Verdict, answers_in, judged

ALL = {f"row-{index}": f"answer {index}" for index in range(REQUESTS)}
ROWS = [{"custom_id": name, "text": text} for name, text in ALL.items()]
CACHED = next(scenario for scenario in SCENARIOS if scenario.cached)
KILLED = next(scenario for scenario in SCENARIOS if scenario.killed)


def verdict(
    rows: list[dict[str, str]], *, batches: int = 1, exits: tuple[str, ...] = ("0",), cost: str | None = None
) -> Verdict:
    names = [f"batch-{number}" for number in range(batches)]
    log = {"batches": [{"id": name} for name in [*names, "strange"]]}
    charged = {name: {"requests": REQUESTS} for name in [*names, "strange"]}
    bill: dict[str, Any] = {"total": "0.5", "batches": charged, "tiers": {}}
    return judged(log, bill, "strange", rows, ALL, exits, cost)


@pytest.mark.parametrize(
    ("seen", "words"),
    [
        (verdict(ROWS), "20 of 20"),
        (verdict(ROWS, batches=2), "20 of 20; 2 batches, 40 billed"),
        (verdict(ROWS[:12]), "12 of 20; 8 **lost silently**"),
        (verdict(ROWS[:12], exits=("1", "1", "1")), "12 of 20; left to a person"),
        (verdict(ROWS, exits=("1", "0")), "20 of 20; 2 starts"),
        (verdict(ROWS, exits=("hangs", "0")), "20 of 20; hung until stopped"),
        (verdict([*ROWS[1:], {"custom_id": "row-0", "error": "gone"}]), "19 of 20; 1 reported as failed"),
        (verdict([*ROWS[1:], {"custom_id": "row-0", "text": "answer 1"}]), "19 of 20; 1 **wrong**"),
    ],
)
def test_a_verdict_says_what_differs(seen: Verdict, words: str) -> None:
    assert told(CALM, seen) == words


def test_the_restart_after_a_kill_is_no_start_too_many() -> None:
    assert told(KILLED, verdict(ROWS, exits=("killed", "0"))) == "20 of 20"


@pytest.mark.parametrize(
    ("cost", "words"),
    [(None, "none given"), ("0.5", "exact"), ("0.5000000000000001", "exact"), ("1.5", "+200 %"), ("0", "-100 %")],
)
def test_a_cost_is_held_against_the_bill(cost: str | None, words: str) -> None:
    assert told(CACHED, verdict(ROWS, cost=cost)) == words


def test_a_tool_without_figures_has_its_reason_in_the_table() -> None:
    page = rendered([CALM, KILLED], {"this": {"0": verdict(ROWS), KILLED.letter: verdict(ROWS)}, "that": "broken"})

    assert page.splitlines()[-2:] == ["| this | 20 of 20 | 20 of 20 |", "| that | broken |  |"]


def test_a_row_cut_short_is_no_answer(tmp_path: Path) -> None:
    file = tmp_path / "results.jsonl"
    file.write_text('{"custom_id": "row-0", "text": "a"}\n{"custom_id": "row-1", "te')

    assert answers_in(file) == [{"custom_id": "row-0", "text": "a"}]
    assert answers_in(tmp_path / "none") == []
