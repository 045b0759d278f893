"""`python -m tests.simulation SEED` tells one seed's story; `--seeds 0-100000 --processes 2` plays many of them."""

from __future__ import annotations

import argparse
import os
import sys
import time
import traceback

from tests.simulation.running import failures, replay, run
from tests.simulation.stage import SECRET


def main() -> int:
    """Exit code 1 if a seed failed."""
    parser = argparse.ArgumentParser(prog="python -m tests.simulation", description=__doc__)
    parser.add_argument("seed", nargs="?", type=int, help="tell this seed's story")
    parser.add_argument("--seeds", metavar="FIRST-END", help="play many: from FIRST up to, and without, END")
    parser.add_argument("--processes", type=int, default=1)
    options = parser.parse_args()
    os.environ["ANTHROPIC_API_KEY"] = SECRET
    if options.seed is not None:
        return _tell(options.seed)
    first, _, end = (options.seeds or "0-5000").partition("-")
    return _play(range(int(first), int(end)), options.processes)


def _tell(seed: int) -> int:
    try:
        outcome = run(seed, tell=_say)
    except Exception:
        traceback.print_exc()
        return 1
    _say(f"seed {seed}: every invariant holds after {outcome.turns} turns; the log ends with {outcome.head.hex()}")
    return 0


def _play(seeds: range, processes: int) -> int:
    began, done, failed = time.monotonic(), 0, []
    for found in failures(seeds, processes):
        failed += found
        done = min(done + 25, len(seeds))
        rate = done / (time.monotonic() - began) * 60
        sys.stderr.write(f"\r{done:,} of {len(seeds):,} seeds, {rate:,.0f} a minute, {len(failed)} failed ")
    sys.stderr.write("\n")
    for failure in failed[:5]:
        _say(f"seed {failure.seed}\n{failure.text}")
    for failure in failed:
        _say(replay(failure.seed))
    seconds = time.monotonic() - began
    _say(
        f"{len(seeds):,} seeds in {seconds:,.0f} s, {len(seeds) / seconds * 60:,.0f} a minute "
        f"in {processes} process(es): {len(failed)} failed"
    )
    return 1 if failed else 0


def _say(line: str) -> None:
    sys.stdout.write(line + "\n")


if __name__ == "__main__":
    sys.exit(main())
