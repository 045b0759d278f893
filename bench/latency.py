"""`python -m bench.latency`: measure what a wrapped call takes longer than the bare one, print and store it.

One ChatAnthropic, one prompt, one canned answer from a transport in this process, so that nothing but our own work
makes a difference. A round calls every side once, in an order drawn anew, and compares each with the bare call of the
same round. Between calls the ledger comes to rest, as it does while a provider thinks; `in a row` it does not.
"""

from __future__ import annotations

import argparse
import asyncio
import gc
import random
import sys
import tempfile
import time
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Final

from bench.latency_page import BARE, Figure, write_page
from bench.latency_sides import Sides, sides
from bench.machine import this_machine
from ledger.backends.sqlite import driver

__all__ = ["main", "measure"]

_SEED: Final = 5
_WARM: Final = 30
_IN_A_ROW: Final = (BARE, "bare again", "cached, recorded behind")


def main(arguments: Sequence[str] | None = None) -> int:
    """Measure, print, and write the page."""
    chosen = _parser().parse_args(arguments)
    with tempfile.TemporaryDirectory(prefix="llm-ledger-bench-", dir=chosen.folder) as folder:
        figures = measure(Path(folder), chosen.rounds)
    for figure in figures:
        sys.stdout.write(
            f"{figure.side:<42} {figure.whole_p50:9.0f} {figure.added_p50:9.1f} {figure.added_p99:9.1f}\n"
        )
    at = f"{datetime.now(UTC):%Y-%m-%d %H:%M} UTC"
    write_page(chosen.write, figures, f"{at}; {this_machine('sqlite', driver.sqlite_version).sentence()}.")
    return 0


def measure(folder: Path, rounds: int, *, warm: int = _WARM) -> list[Figure]:
    """Every side in so many rounds, after some to warm up, with ledgers in `folder`."""
    return asyncio.run(_measure(folder, rounds, warm))


async def _measure(folder: Path, rounds: int, warm: int) -> list[Figure]:
    with sides(folder) as all_sides:
        apart = await _rounds(all_sides, tuple(all_sides.calls), rounds, warm, at_rest=True)
        in_a_row = await _rounds(all_sides, _IN_A_ROW, rounds, warm, at_rest=False)
    row = {f"{side}, in a row": taken for side, taken in in_a_row.items() if side != BARE}
    return [*_figures(apart, apart[BARE]), *_figures(row, in_a_row[BARE])]


async def _rounds(
    all_sides: Sides, names: Sequence[str], rounds: int, warm: int, *, at_rest: bool
) -> Mapping[str, list[float]]:
    """Microseconds of each side's calls, round by round."""
    taken: dict[str, list[float]] = {side: [] for side in names}
    order = list(names)
    draw = random.Random(_SEED)
    for number in range(warm + rounds):
        if number == warm:
            gc.collect()
            gc.freeze()
        draw.shuffle(order)
        for side in order:
            if at_rest:
                all_sides.settle()
                await asyncio.sleep(0.001)
            began = time.perf_counter_ns()
            await all_sides.calls[side]()
            took = time.perf_counter_ns() - began
            if number >= warm:
                taken[side].append(took / 1000)
    gc.unfreeze()
    return taken


def _figures(taken: Mapping[str, list[float]], bare: Sequence[float]) -> list[Figure]:
    return [_figure(side, times, bare) for side, times in taken.items()]


def _figure(side: str, times: Sequence[float], bare: Sequence[float]) -> Figure:
    added = [one - other for one, other in zip(times, bare, strict=True)]
    return Figure(side, len(times), _share(times, 0.5), _share(added, 0.5), _share(added, 0.99))


def _share(values: Sequence[float], share: float) -> float:
    return sorted(values)[min(len(values) - 1, int(len(values) * share))]


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m bench.latency", description=__doc__)
    parser.add_argument("--rounds", type=int, default=1000)
    parser.add_argument("--folder", type=Path, help="where the ledgers are made; by default the system's own")
    parser.add_argument("--write", type=Path, metavar="PAGE", default=Path("docs/latency.md"))
    return parser


if __name__ == "__main__":
    sys.exit(main())
