"""Ledgers full of a year's traffic, filled once through the public API and then measured in several ways."""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path
from typing import Final

import msgspec

from bench import ours
from bench.append import LOADER
from bench.databases import Place
from bench.workload import appends, events_in, regrouped
from llm_ledger.cli.progress import bar
from llm_ledger.cli.words import age

__all__ = ["Filled", "filled", "forget"]

_NEWS_SECONDS: Final = 60.0


class Filled(msgspec.Struct, frozen=True):
    """A ledger of so many events. `seconds` were spent inside `Ledger.append`, `last` on the last tenth."""

    url: str
    events: int
    seconds: float
    last: float


def filled(place: Place, events: int, say: Callable[[str], None]) -> Filled:
    """The ledger of that size; one that a run with the same `--keep` left behind is taken as it is."""
    total = events_in(events)
    name = _name(total)
    mark = _mark(place, total)
    if mark.exists():
        known = msgspec.json.decode(mark.read_bytes(), type=Filled)
        say(f"found the ledger of {total:,} events")
        return msgspec.structs.replace(known, url=place.url(name))
    say(f"filling a ledger with {total:,} events")
    done = _fill(place.new(name), total, say)
    place.settle(name)
    mark.write_bytes(msgspec.json.encode(msgspec.structs.replace(done, url="")))
    return done


def forget(place: Place, ledger: Filled) -> None:
    """Fill it anew the next time: it was changed by what was measured."""
    _mark(place, ledger.events).unlink(missing_ok=True)


def _name(events: int) -> str:
    return f"filled_{events}"


def _mark(place: Place, events: int) -> Path:
    return place.folder / f"{_name(events)}.{place.engine}.json"


def _fill(url: str, total: int, say: Callable[[str], None]) -> Filled:
    seconds = last = 0.0
    done = 0
    news = began = time.perf_counter()
    with ours.opened(url) as ledger, bar("filling", total) as progress:
        for events in regrouped(appends(total), LOADER):
            start = time.perf_counter()
            ledger.append(events)
            now = time.perf_counter()
            seconds += now - start
            done += len(events)
            last += now - start if done > 0.9 * total else 0.0
            progress.advance(len(events))
            if now - news > _NEWS_SECONDS:
                left = (now - began) / done * (total - done)
                say(f"{done:,} of {total:,} events, {done / seconds:,.0f}/s; {age(left)} to go")
                news = now
    return Filled(url, total, seconds, last)
