"""What each side is told to do, and the stopwatch it uses."""

from __future__ import annotations

import gc
import time
from collections.abc import Callable, Iterable
from typing import Any, Final

import msgspec

from bench.workload import appends, regrouped
from ledger import NewEvent

__all__ = ["APPENDERS", "Bulk", "Commits", "Paces", "settled", "stopwatch"]

APPENDERS: Final = 32


class Bulk(msgspec.Struct, frozen=True):
    """Append a year of traffic into the empty database at `url`.

    Lists of `per_list` events, or as an application would make them if None. `source` is the ledger that we wrote
    in the same round: the bare driver takes its rows from there. `alone`: the peer saves each aggregate by itself.
    """

    url: str
    source: str
    events: int
    per_list: int | None
    alone: bool = False

    def lists(self) -> Iterable[list[NewEvent]]:
        """The workload, list by list."""
        lists = appends(self.events)
        return lists if self.per_list is None else regrouped(lists, self.per_list)


class Commits(msgspec.Struct, frozen=True):
    """Append single events, each durable before the next: `single` by one appender, then `shared` by 32 at once."""

    url: str
    source: str
    single: int
    shared: int


class Paces(msgspec.Struct, frozen=True):
    """Commits per second of one side: by one appender, and by 32 together."""

    single: float
    shared: float


def settled() -> None:
    """Take what was prepared out of the collector's sight: it would be no application's."""
    gc.collect()
    gc.freeze()


def stopwatch(work: Callable[..., Any], *arguments: Any) -> float:
    """Seconds that one call takes."""
    began = time.perf_counter()
    work(*arguments)
    return time.perf_counter() - began
