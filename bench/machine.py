"""What it was measured on: cores, memory and versions; nothing that names the machine."""

from __future__ import annotations

import os
import platform
from importlib.metadata import version
from pathlib import Path
from typing import Final

import msgspec

__all__ = ["Machine", "this_machine"]

_LIBRARIES: Final = ("anthropic", "eventsourcing", "msgspec", "psycopg", "sqlalchemy")


class Machine(msgspec.Struct, frozen=True):
    """`memory` in GiB; `clock` in GHz, 0 where the system does not say."""

    cores: int
    memory: int
    clock: float
    system: str
    versions: dict[str, str]

    def sentence(self) -> str:
        """The same for people."""
        clock = f" at {self.clock:.1f} GHz" if self.clock else ""
        versions = ", ".join(f"{name} {number}" for name, number in self.versions.items())
        return f"{self.cores} cores{clock}, {self.memory} GiB of memory, {self.system}; {versions}"


def this_machine(database: str, server: str) -> Machine:
    """The machine we are on. `server` is the version of the database's engine."""
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    name = "SQLite" if database == "sqlite" else "Postgres"
    python = {platform.python_implementation(): platform.python_version(), name: server}
    libraries = {library: version(library) for library in _LIBRARIES}
    return Machine(os.cpu_count() or 1, round(memory / 2**30), _clock(), platform.system(), python | libraries)


def _clock() -> float:
    info = Path("/proc/cpuinfo")
    lines = info.read_text().splitlines() if info.exists() else []
    speeds = [float(line.partition(":")[2]) for line in lines if line.startswith("cpu MHz")]
    return round(max(speeds, default=0.0) / 1000, 1)
