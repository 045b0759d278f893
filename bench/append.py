"""Bulk append: ours, the bare driver and the peer in turns, each in a process and a database of its own."""

from __future__ import annotations

from collections.abc import Callable
from statistics import median
from typing import Final

import msgspec

from bench import ours, peer, raw
from bench.alone import alone
from bench.databases import Place
from bench.results import AppendRate
from bench.tasks import Bulk
from bench.workload import events_in

__all__ = ["LOADER", "append_rates"]

LOADER: Final = 20_000
"""Events per list of a bulk loader."""

ALONE: Final = 3000
"""Events that the peer saves aggregate by aggregate: slow enough to be measured by few."""


def append_rates(place: Place, events: int, rounds: int, say: Callable[[str], None]) -> list[AppendRate]:
    """The rates with the lists of a bulk loader, and with those of an application."""
    return [_rate(place, events, per_list, rounds, say) for per_list in (LOADER, None)]


def _rate(place: Place, events: int, per_list: int | None, rounds: int, say: Callable[[str], None]) -> AppendRate:
    total = events_in(events)
    few = events_in(min(events, ALONE))
    rates: dict[str, list[float]] = {"ours": [], "driver": [], "peer": [], "alone": []}
    sides = {"ours": ours.bulk, "driver": raw.bulk, "peer": peer.bulk}
    for number in range(rounds):
        for side, measure in sides.items():
            rates[side].append(total / alone(measure, Bulk(place.new(side), place.url("ours"), events, per_list)))
            say(f"round {number + 1}: {side} {rates[side][-1]:,.0f} events/s")
        task = Bulk(place.new("peer"), "", few, per_list)
        rates["alone"].append(few / alone(peer.bulk, msgspec.structs.replace(task, alone=True)))
    for side in sides:
        place.drop(side)
    medians = {side: median(taken) for side, taken in rates.items()}
    return AppendRate(
        per_list=per_list,
        events=total,
        ours=medians["ours"],
        driver=medians["driver"],
        peer=medians["peer"],
        peer_alone=medians["alone"],
        rounds=rounds,
    )
