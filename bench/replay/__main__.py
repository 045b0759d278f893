"""Play recorded sessions again: python -m bench.replay --sessions FOLDER [--ttl 5m|1h] [--cut message|block]

Prints, as the table of docs/caching.md, which share of the input tokens was read and which could be read at best.
"""

from __future__ import annotations

import argparse
import sys
import warnings
from collections.abc import Iterator, Sequence
from pathlib import Path

from bench.replay.play import LIFETIMES, Missed, Played, play
from bench.replay.sessions import read_sessions
from ledger.errors import InputError
from llm_ledger.simulator import SimulatorConfig, running

__all__ = ["main"]


def main(arguments: Sequence[str] | None = None) -> int:
    """Play what the arguments ask for. Exit code 2 for a folder without sessions."""
    chosen = _parser().parse_args(arguments)
    warnings.simplefilter("ignore", DeprecationWarning)  # the sessions are of models that are leaving
    try:
        sessions = read_sessions(chosen.sessions)
    except InputError as error:
        print(error, file=sys.stderr)
        return 2
    for ttl in chosen.ttl or LIFETIMES:
        with running(SimulatorConfig(time_scale=0)) as simulator:
            played = [play(session, ttl, simulator, chosen.cut) for session in sessions]
        print(*_table(ttl, played), sep="\n", end="\n\n")
    return 0


def _table(ttl: str, played: Sequence[Played]) -> Iterator[str]:
    yield f"| trace, {ttl} | requests | input tokens | read | at best | gap | in preamble | in message | at its end |"
    yield "| --- | ---: | ---: | ---: | ---: | ---: | ---: | ---: | ---: |"
    for one in [*played, _together(played)]:
        gap = f"{100 * (one.best_rate - one.rate):.2f}"
        missed = one.missed
        yield (
            f"| {one.name} | {one.calls} | {one.input_tokens:,} | {one.read:,} = {one.rate:.4f} | "
            f"{one.best:,} = {one.best_rate:.4f} | {gap} | "
            f"{missed.in_preamble:,} | {missed.in_message:,} | {missed.at_end:,} |"
        )


def _together(played: Sequence[Played]) -> Played:
    return Played(
        "all",
        sum(one.calls for one in played),
        sum(one.input_tokens for one in played),
        sum(one.read for one in played),
        sum(one.best for one in played),
        Missed(
            sum(one.missed.in_preamble for one in played),
            sum(one.missed.in_message for one in played),
            sum(one.missed.at_end for one in played),
        ),
    )


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m bench.replay", description=__doc__)
    parser.add_argument("--sessions", type=Path, required=True, help="the folder of the recorded sessions")
    parser.add_argument("--ttl", choices=LIFETIMES, action="append", help="lifetime of the cache (default: both)")
    parser.add_argument("--cut", choices=("message", "block"), default="message", help="what a content block holds")
    return parser


if __name__ == "__main__":
    sys.exit(main())
