"""What came of a trial, by the provider's own log and bill and by what the tool handed over."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import msgspec

from bench.other_tools.scenarios import REQUESTS

__all__ = ["Answers", "Verdict", "answers_in", "judged"]

Answers = Mapping[str, str]
"""The text that belongs to each custom id."""


class Verdict(msgspec.Struct, frozen=True, kw_only=True):
    """Counts of requests, but for `batches`. `exits` has the exit status of each process, the last one included.

    `wrong`: another request's answer was handed over. `reported`: the tool named them as failed. `billed` is what
    the provider charged for, in answers; `cost` and `bill` are the tool's and the provider's figures in USD.
    """

    batches: int
    billed: int
    right: int
    wrong: int
    reported: int
    exits: tuple[str, ...]
    bill: str
    cost: str | None = None

    @property
    def unfinished(self) -> bool:
        """Whether the last process still ended with an error: somebody has to look."""
        return self.exits[-1] != "0"

    @property
    def silent(self) -> int:
        """Requests without a result of which nobody was told."""
        return 0 if self.unfinished else REQUESTS - self.right - self.wrong - self.reported


def answers_in(file: Path) -> list[dict[str, str]]:
    """The rows that a script wrote; a row it was killed in does not count."""
    if not file.exists():
        return []
    lines = file.read_text().splitlines()
    return [json.loads(line) for line in lines if line.endswith("}")]


def judged(
    log: Mapping[str, Any],
    bill: Mapping[str, Any],
    strangers: str | None,
    rows: Iterable[dict[str, str]],
    truth: Answers | None,
    exits: Iterable[str],
    cost: str | None,
) -> Verdict:
    """Weigh a trial. `strangers` is the id of somebody else's batch; without `truth` every text is right."""
    ours = [batch["id"] for batch in log["batches"] if batch["id"] != strangers]
    charged = bill["batches"]
    texts = {row["custom_id"]: row["text"] for row in rows if "text" in row}
    right = sum(truth is None or truth.get(name) == text for name, text in texts.items())
    reported = {row["custom_id"] for row in rows if "error" in row} - texts.keys()
    return Verdict(
        batches=len(ours),
        billed=sum(charged[batch]["requests"] for batch in ours if batch in charged)
        + bill["tiers"].get("standard", {"requests": 0})["requests"],
        right=right,
        wrong=len(texts) - right,
        reported=len(reported),
        exits=tuple(exits),
        bill=bill["total"],
        cost=cost,
    )
