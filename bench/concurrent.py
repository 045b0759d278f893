"""Single durable events: one appender, and 32 at once; ours, the bare driver and the peer in turns."""

from __future__ import annotations

from collections.abc import Callable
from statistics import median

from bench import ours, peer, raw
from bench.alone import alone
from bench.databases import Place
from bench.results import CommitRate
from bench.tasks import APPENDERS, Commits, Paces

__all__ = ["commit_rates"]


def commit_rates(place: Place, single: int, rounds: int, say: Callable[[str], None]) -> list[CommitRate]:
    """`single` commits by one appender, then four times as many by all of them together."""
    sides = {"ours": ours.commits, "driver": raw.commits, "peer": peer.commits}
    paces: dict[str, list[Paces]] = {side: [] for side in sides}
    for number in range(rounds):
        for side, measure in sides.items():
            task = Commits(place.new(side), place.url("ours"), single, 4 * single)
            pace = alone(measure, task)
            paces[side].append(pace)
            say(f"round {number + 1}: {side} {pace.single:,.0f} commits/s alone, {pace.shared:,.0f} together")
    for side in sides:
        place.drop(side)
    return [
        CommitRate(side, median(one.single for one in taken), median(one.shared for one in taken), APPENDERS, rounds)
        for side, taken in paces.items()
    ]
