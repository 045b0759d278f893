"""The table: a row for each tool, a column for each thing that went wrong."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from decimal import Decimal
from typing import Final

from bench.other_tools.scenarios import REQUESTS, Scenario
from bench.other_tools.verdict import Verdict

__all__ = ["rendered", "told"]

_PICO: Final = Decimal("1e-12")


def rendered(scenarios: Sequence[Scenario], rows: Mapping[str, Mapping[str, Verdict] | str]) -> str:
    """Markdown: the legend, then the table. A text in place of verdicts says why there are none."""
    legend = [f"- **{scenario.letter}** {scenario.words}" for scenario in scenarios]
    head = ["", "| | " + " | ".join(scenario.letter for scenario in scenarios) + " |"]
    head.append("| --- |" + " --- |" * len(scenarios))
    body = []
    for name, verdicts in rows.items():
        if isinstance(verdicts, str):
            cells = [verdicts] + [""] * (len(scenarios) - 1)
        else:
            cells = [told(scenario, verdicts[scenario.letter]) for scenario in scenarios]
        body.append(f"| {name} | " + " | ".join(cells) + " |")
    return "\n".join([*legend, *head, *body])


def told(scenario: Scenario, verdict: Verdict) -> str:
    """A verdict in a few words."""
    if scenario.cached:
        return _compared(verdict)
    words = [f"{verdict.right} of {REQUESTS}"]
    words += [f"{count} {what}" for count, what in _losses(verdict) if count]
    if verdict.batches != 1 or verdict.billed != REQUESTS:
        words.append(f"{verdict.batches} batches, {verdict.billed} billed")
    if verdict.unfinished:
        words.append("left to a person")
    elif "hangs" in verdict.exits:
        words.append("hung until stopped")
    elif len(verdict.exits) > 1 + scenario.killed:
        words.append(f"{len(verdict.exits)} starts")
    return "; ".join(words)


def _losses(verdict: Verdict) -> list[tuple[int, str]]:
    return [
        (verdict.wrong, "**wrong**"),
        (verdict.silent, "**lost silently**"),
        (verdict.reported, "reported as failed"),
    ]


def _compared(verdict: Verdict) -> str:
    if verdict.cost is None:
        return "none given"
    theirs, bill = Decimal(verdict.cost), Decimal(verdict.bill)
    if abs(theirs - bill) < _PICO:
        return "exact"
    return f"{(theirs / bill - 1) * 100:+.0f} %"
