"""`python -m tests.support.crash_matrix`: where the story's processes are killed, found out by letting them tell.

A process on its first run tells which points it reaches; it is killed at each of them, for the first and the second
time, or the last one where it comes often. The process after each of these deaths tells as well; at each point that
it reaches one is killed in turn, after the latest death in the same step that leads there. The plan is written to
`crash_matrix.txt`: a line names the deaths of one scenario in order.
"""

from __future__ import annotations

import tempfile
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path

from tests.support.crash_stage import Stage, stage

__all__ = ["PLAN", "first_deaths", "nth", "recoveries", "scenarios", "second_deaths", "step_of"]

PLAN = Path(__file__).with_suffix(".txt")

OFTEN = 5

_ARROW = " > "


def scenarios() -> list[tuple[str, ...]]:
    """The deaths of each scenario, in order."""
    return [tuple(line.split(_ARROW)) for line in PLAN.read_text().splitlines()]


def step_of(death: str) -> str:
    """The step in whose course it happens."""
    return death.partition(".")[0]


def nth(point: str, number: int) -> str:
    """The death at the n-th time that a point is reached."""
    return point if number == 1 else f"{point}#{number}"


def first_deaths(trace: Iterable[str]) -> list[str]:
    """All points of a first run, in order; each for the first time, and the second or the last of many."""
    times = Counter(trace)
    return [
        nth(point, number)
        for point, last in times.items()
        for number in sorted({1, last if last > OFTEN else min(last, 2)})
    ]


def recoveries(stage: Stage, deaths: Iterable[str]) -> Iterator[tuple[str, list[str]]]:
    """What the process after each of these deaths reaches."""
    for death in deaths:
        url = stage.scene()
        stage.live(url, death=death)
        yield death, stage.traced(url)


def second_deaths(recovered: Mapping[str, Sequence[str]]) -> list[tuple[str, str]]:
    """For each point that is reached after a death: that death, and one at the point."""
    points = dict.fromkeys(point for trace in recovered.values() for point in trace)
    return [(_death_before(point, recovered), point) for point in points]


def _death_before(point: str, recovered: Mapping[str, Sequence[str]]) -> str:
    reaching = [death for death, trace in recovered.items() if point in trace]
    return next((death for death in reversed(reaching) if step_of(death) == step_of(point)), reaching[-1])


def main() -> None:
    with tempfile.TemporaryDirectory() as name, stage(Path(name)) as played:
        first = first_deaths(played.traced(played.scene()))
        second = second_deaths(dict(recoveries(played, first)))
    lines = [*first, *map(_ARROW.join, second)]
    PLAN.write_text("".join(f"{line}\n" for line in lines))


if __name__ == "__main__":
    main()
