"""The parts of the benchmark: how each is measured on one database."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, Final

import msgspec

from bench.append import append_rates
from bench.concurrent import commit_rates
from bench.databases import Place
from bench.end_to_end import end_to_end
from bench.filled import filled, forget
from bench.rates import fill_rates, fold_rates
from bench.reads import read_latencies
from bench.results import PARTS
from bench.sizes import disk_sizes

__all__ = ["MEASURES", "Say", "Scale"]

Say = Callable[[str], None]

SMALL: Final = 100_000
"""Events of the ledger beside which a larger one is shown."""


class Scale(msgspec.Struct, frozen=True):
    """How much to measure: events to append, single events to commit, events to read among, requests to send."""

    events: int
    commits: int
    size: int
    requests: int
    rounds: int
    samples: int

    @property
    def sizes(self) -> tuple[int, ...]:
        """The ledgers to read from: a small one, too, where a large one is asked for."""
        return (self.size,) if self.size <= SMALL else (SMALL, self.size)


def _append(place: Place, scale: Scale, say: Say) -> Sequence[Any]:
    return append_rates(place, scale.events, scale.rounds, say)


def _concurrent(place: Place, scale: Scale, say: Say) -> Sequence[Any]:
    return commit_rates(place, scale.commits, scale.rounds, say)


def _reads(place: Place, scale: Scale, say: Say) -> Sequence[Any]:
    return [row for size in scale.sizes for row in read_latencies(filled(place, size, say), scale.samples)]


def _sizes(place: Place, scale: Scale, say: Say) -> Sequence[Any]:
    return [row for size in scale.sizes for row in disk_sizes(filled(place, size, say))]


def _rates(place: Place, scale: Scale, say: Say) -> Sequence[Any]:
    ledgers = [filled(place, size, say) for size in scale.sizes]
    fills = [row for one in ledgers for row in fill_rates(one)]
    folds = fold_rates(ledgers[0])
    forget(place, ledgers[0])  # rebuilt tables are not laid out as filled ones are
    return [*fills, *folds]


def _end_to_end(place: Place, scale: Scale, say: Say) -> Sequence[Any]:
    return end_to_end(place, scale.requests, say)


MEASURES: Final[dict[str, Callable[[Place, Scale, Say], Sequence[Any]]]] = dict(
    zip(PARTS, (_append, _concurrent, _reads, _sizes, _rates, _end_to_end), strict=True)
)
