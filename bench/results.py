"""What was measured, and the file that keeps it: each part for each database, as of the last time it was measured."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Final, Generic, Self, TypeVar

import msgspec

from bench.machine import Machine

__all__ = [
    "DATABASES",
    "PARTS",
    "AppendRate",
    "CommitRate",
    "EndToEnd",
    "FoldRate",
    "ReadLatency",
    "Results",
    "Side",
    "Size",
    "Taken",
]

PARTS: Final = ("append", "concurrent", "reads", "sizes", "rates", "end-to-end")
DATABASES: Final = ("sqlite", "postgres")

_Row = TypeVar("_Row")


class AppendRate(msgspec.Struct, frozen=True):
    """Bulk appends, events per second: the median of the rounds of each side.

    `per_list`: events per list, None for lists as an application makes them. `peer_alone`: the peer with a save,
    and so a commit, for each aggregate instead of each list.
    """

    per_list: int | None
    events: int
    ours: float
    driver: float
    peer: float
    peer_alone: float
    rounds: int


class CommitRate(msgspec.Struct, frozen=True):
    """Durable appends of single events per second, the median of one side's rounds (ours, driver, peer)."""

    side: str
    single: float
    shared: float
    appenders: int
    rounds: int


class ReadLatency(msgspec.Struct, frozen=True):
    """Milliseconds that a query takes on a ledger of so many events."""

    query: str
    events: int
    p50: float
    p95: float
    samples: int


class Size(msgspec.Struct, frozen=True):
    """Bytes that one part of a ledger of so many events takes on disk."""

    what: str
    events: int
    bytes: int


class FoldRate(msgspec.Struct, frozen=True):
    """How long something that goes through a whole ledger takes. `what`: append, verify or rebuild."""

    what: str
    events: int
    seconds: float


class Side(msgspec.Struct, frozen=True):
    """One side of an end-to-end run: seconds in all, by step and of CPU; `peak` in bytes, of the largest process."""

    seconds: float
    peak: int
    cpu: float
    steps: dict[str, float]
    simulator_cpu: float


class EndToEnd(msgspec.Struct, frozen=True):
    """A file of requests through the simulator: `llm-ledger submit` and `run`, and the bare SDK on the same."""

    requests: int
    batches: int
    bytes: int
    ours: Side
    sdk: Side


class Taken(msgspec.Struct, Generic[_Row], frozen=True):
    """The rows of one measurement: when (UTC, to the minute), by which command, on what."""

    at: str
    command: str
    machine: Machine
    rows: tuple[_Row, ...]


class Results(msgspec.Struct, frozen=True, rename="kebab", omit_defaults=True):
    """Everything, by part and database."""

    append: dict[str, Taken[AppendRate]] = {}
    concurrent: dict[str, Taken[CommitRate]] = {}
    reads: dict[str, Taken[ReadLatency]] = {}
    sizes: dict[str, Taken[Size]] = {}
    rates: dict[str, Taken[FoldRate]] = {}
    end_to_end: dict[str, Taken[EndToEnd]] = {}

    @classmethod
    def load(cls, path: Path) -> Self:
        """What the file holds, nothing if there is none."""
        return msgspec.json.decode(path.read_bytes(), type=cls) if path.exists() else cls()

    def save(self, path: Path) -> None:
        """Write the file anew, so that no reader sees half of it."""
        fresh = path.with_suffix(".json.part")
        fresh.write_bytes(msgspec.json.format(msgspec.json.encode(self), indent=1) + b"\n")
        fresh.replace(path)

    def of(self, part: str) -> dict[str, Taken[Any]]:
        """One part, by database."""
        taken: dict[str, Taken[Any]] = getattr(self, part.replace("-", "_"))
        return taken

    def with_part(self, part: str, database: str, taken: Taken[Any]) -> Self:
        """The same with one part measured again on one database."""
        return msgspec.structs.replace(self, **{part.replace("-", "_"): {**self.of(part), database: taken}})
