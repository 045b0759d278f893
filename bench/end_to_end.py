"""A file of requests from `submit` to the last projection, beside the bare SDK on the same bodies.

Ours: the commands `llm-ledger submit` and `run --until-idle`, as people run them. Theirs: `bench.bare_sdk`. Each
has a simulator of its own with the same settings, and is measured from the start of its process to the end.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Final

import msgspec

from bench.bodies import write_requests
from bench.databases import Place
from bench.ours import opened
from bench.results import EndToEnd, Side
from bench.simulated import POLL_SECONDS, provider, run
from ledger import Ledger
from ledger.savings import Period
from ledger.summary import savings

__all__ = ["end_to_end"]

SHAPES: Final = (1, 10)
"""Into how many batches the file goes."""


def end_to_end(place: Place, requests: int, say: Callable[[str], None]) -> list[EndToEnd]:
    """One run for each shape. Raises RuntimeError where a command fails or a result is missing."""
    with TemporaryDirectory(prefix="llm-ledger-bench-") as name:
        folder = Path(name)
        file = folder / "requests.jsonl"
        size = write_requests(file, requests)
        runs = []
        for batches in SHAPES:
            ours = _ours(place, folder, file, requests, batches)
            say(f"{requests:,} requests, {batches} batches: ours {ours.seconds:.1f} s, {ours.peak / 1e6:.0f} MB")
            sdk = _sdk(folder, file, requests, batches)
            say(f"{requests:,} requests, {batches} batches: the bare SDK {sdk.seconds:.1f} s")
            runs.append(EndToEnd(requests, batches, size, ours, sdk))
        return runs


def _ours(place: Place, folder: Path, file: Path, requests: int, batches: int) -> Side:
    opened(place.new("end_to_end")).close()
    environment = {
        "LLM_LEDGER_DATABASE_URL": place.url("end_to_end"),
        "LLM_LEDGER_BATCH_MAX_SIZE": str(-(-requests // batches)),
    }
    with provider() as up:
        submit = run(folder, up, environment, "llm_ledger", "submit", str(file))
        work = run(folder, up, environment, "llm_ledger", "run", "--until-idle")
    with Ledger.open(place.url("end_to_end")) as ledger:
        _check(savings(ledger, Period())["requests"]["succeeded"], requests)
    place.drop("end_to_end")
    return Side(
        seconds=submit.seconds + work.seconds,
        peak=max(submit.peak, work.peak),
        cpu=submit.cpu + work.cpu,
        steps={"submit": submit.seconds, "run": work.seconds},
        simulator_cpu=up.cpu,
    )


def _sdk(folder: Path, file: Path, requests: int, batches: int) -> Side:
    with provider() as up:
        work = run(folder, up, {}, "bench.bare_sdk", str(file), str(batches), str(POLL_SECONDS))
    answer = msgspec.json.decode(work.output)
    _check(answer["succeeded"], requests)
    return Side(work.seconds, work.peak, work.cpu, answer["steps"], up.cpu)


def _check(succeeded: int, requests: int) -> None:
    if succeeded != requests:
        raise RuntimeError(f"only {succeeded:,} of {requests:,} requests succeeded")
