"""`make bench`: measure, print, and store docs/benchmarks.md and docs/benchmarks.json, part by part.

A part that fails is told and left out; the others go on. What is not measured this time stays as it was, so parts can
be measured at different times: python -m bench --only reads,sizes,rates --size 10000000 --keep FOLDER
"""

from __future__ import annotations

import argparse
import os
import shlex
import signal
import sys
import tempfile
import time
import traceback
import warnings
from collections.abc import Sequence
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from rich.console import Console

from bench import databases, report
from bench.machine import this_machine
from bench.parts import MEASURES, Scale
from bench.results import DATABASES, PARTS, Results, Taken

__all__ = ["main"]


def main(arguments: Sequence[str] | None = None) -> int:
    """Measure what the arguments ask for. Exit code 1 if a part failed, 2 for wrong usage."""
    given = list(sys.argv[1:] if arguments is None else arguments)
    chosen = _parser().parse_args(given)
    scale = Scale(
        events=chosen.events,
        commits=max(32, chosen.events // 60),
        size=chosen.size,
        requests=chosen.requests,
        rounds=chosen.rounds,
        samples=chosen.samples,
    )
    if chosen.render:
        report.write_page(chosen.write, Results.load(chosen.write.with_suffix(".json")))
        return 0
    run = _Run(scale, chosen.write, shlex.join(["python", "-m", "bench", *_without_paths(given)]))
    with _folder(chosen.keep) as folder:
        for database in chosen.database or DATABASES:
            run.on(database, folder, chosen.only)
    return 1 if run.failed else 0


class _Run:
    """Takes one part after the other, and stores each as soon as it is known."""

    def __init__(self, scale: Scale, target: Path, command: str) -> None:
        self._scale = scale
        self._target = target
        self._command = command
        self._console = Console(width=None if sys.stdout.isatty() else 160)
        self._began = time.monotonic()
        self.failed = False

    def on(self, database: str, folder: Path, parts: Sequence[str]) -> None:
        """Measure these parts on one database."""
        try:
            with databases.opened(database, folder) as place:
                for part in parts:
                    self._take(part, database, place)
        except Exception:
            self._complain(f"{database} did not come up or go down")

    def _take(self, part: str, database: str, place: databases.Place) -> None:
        self._say(f"{part} on {database}")
        try:
            rows: tuple[Any, ...] = tuple(MEASURES[part](place, self._scale, self._say))
        except Exception:
            self._complain(f"{part} on {database} failed")
            return
        at = datetime.now(UTC).strftime("%Y-%m-%d %H:%M")
        taken = Taken(at, self._command, this_machine(database, place.server), rows)
        report.show(self._console, part, database, taken)
        stored = self._target.with_suffix(".json")
        results = Results.load(stored).with_part(part, database, taken)
        results.save(stored)
        report.write_page(self._target, results)

    def _say(self, line: str) -> None:
        sys.stderr.write(f"[{time.monotonic() - self._began:6.0f} s] {line}\n")
        sys.stderr.flush()

    def _complain(self, line: str) -> None:
        self.failed = True
        self._say(line)
        traceback.print_exc()


@contextmanager
def _folder(kept: Path | None) -> Any:
    """Where databases live meanwhile; `--keep` leaves the filled ones for the next run."""
    if kept is not None:
        kept.mkdir(parents=True, exist_ok=True)
        yield kept.resolve()
        return
    with tempfile.TemporaryDirectory(prefix="llm-ledger-bench-", ignore_cleanup_errors=True) as name:
        yield Path(name)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m bench", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--events", type=int, default=60_000, help="events to append in bulk (default 60,000)")
    parser.add_argument("--size", type=int, default=100_000, help="events to read among (default 100,000)")
    parser.add_argument("--requests", type=int, default=20_000, help="requests from end to end (default 20,000)")
    parser.add_argument("--rounds", type=int, default=3, help="how often the sides take turns (default 3)")
    parser.add_argument("--samples", type=int, default=300, help="how often a query is asked (default 300)")
    parser.add_argument("--database", choices=DATABASES, action="append", help="only this one; repeatable")
    parser.add_argument("--only", type=_parts, default=PARTS, metavar="PART,…", help=f"of {', '.join(PARTS)}")
    parser.add_argument("--write", type=Path, default=Path("docs/benchmarks.md"), metavar="FILE", help="the page")
    parser.add_argument("--keep", type=Path, metavar="DIR", help="keep filled ledgers there, and use them again")
    parser.add_argument("--render", action="store_true", help="only make the page anew from the stored figures")
    return parser


def _parts(text: str) -> tuple[str, ...]:
    wanted = text.split(",")
    for part in wanted:
        if part not in PARTS:
            raise argparse.ArgumentTypeError(f"{part!r} is none of {', '.join(PARTS)}")
    return tuple(part for part in PARTS if part in wanted)


def _without_paths(given: Sequence[str]) -> list[str]:
    """The arguments that matter to the figures: where things were stored is nobody's business."""
    left: list[str] = []
    skip = False
    for argument in given:
        name, assigned, _ = argument.partition("=")
        path = name in ("--keep", "--write")
        if not (skip or path):
            left.append(argument)
        skip = path and not assigned
    return left


if __name__ == "__main__":
    # The libraries that are measured deprecate parts of each other, here and in the processes that are started.
    warnings.simplefilter("ignore")
    os.environ.setdefault("PYTHONWARNINGS", "ignore")
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(128 + signal.SIGTERM))  # the server is stopped on the way out
    sys.exit(main())
