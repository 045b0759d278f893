"""`python -m tests.support.crash_table`: the crash matrix as a Markdown table, for docs/reliability.md."""

from __future__ import annotations

import sys
from collections import Counter
from collections.abc import Iterable, Iterator

from ledger.crash_points import MOMENTS, STEPS, SUBJECTS
from tests.support.crash_matrix import scenarios

__all__ = ["table"]

_HEAD = """\
| in the course of | around | first run: before | during | after | recovery: before | during | after |
| --- | --- | ---: | ---: | ---: | ---: | ---: | ---: |"""


def table(plan: Iterable[tuple[str, ...]]) -> Iterator[str]:
    """Lines of the table: how often a process is killed at each point, on each database."""
    kills = Counter((run, *_parts(death)) for deaths in plan for run, death in enumerate(deaths))
    yield _HEAD
    for step in STEPS:
        for subject in SUBJECTS:
            counts = [kills[run, step, subject, moment] for run in (0, 1) for moment in MOMENTS]
            if any(counts):
                yield f"| {step} | {subject} | {' | '.join(str(count or '') for count in counts)} |"
    first = sum(count for (run, *_), count in kills.items() if run == 0)
    yield f"\n{kills.total()} kills on each database: {first} on a first run, {kills.total() - first} in recovery."


def _parts(death: str) -> list[str]:
    return death.partition("#")[0].split(".")


if __name__ == "__main__":
    sys.stdout.writelines(f"{line}\n" for line in table(scenarios()))
