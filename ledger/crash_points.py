"""Places at which a process can be told to die, to prove that nothing is lost by it. Without effect unless told.

`LLM_LEDGER_CRASH_POINT=submit.create.after` kills the process (SIGKILL) when it gets there for the first time,
`submit.create.after#2` when it does for the second. A name says three things:

    step     in whose course: one of `STEPS`
    subject  around what: `commit`, or the method of the provider that is called
    moment   `before`; `after`, when it is over and nobody has been told yet; `during`, when it is halfway
"""

from __future__ import annotations

import os
import signal
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager, nullcontext
from itertools import count
from typing import Final

from ledger.errors import ConfigurationError

__all__ = ["MOMENTS", "STEPS", "SUBJECTS", "VARIABLE", "obey", "reached", "watch", "within"]

VARIABLE: Final = "LLM_LEDGER_CRASH_POINT"

STEPS: Final = (
    "ledger", "record", "plan", "retry", "submit", "suspect", "reconcile", "poll", "collect", "call",
    "audit", "cancel", "lease", "renew", "release", "forget",
)  # fmt: skip
"""What a process does. `lease`, `renew`, `release`, `forget` are what it does with leases; `ledger` is the rest."""

SUBJECTS: Final = (
    "commit", "newest_batch", "create", "retrieve", "list_newer", "results", "cancel", "call",
)  # fmt: skip

MOMENTS: Final = ("before", "during", "after")

Watcher = Callable[[str], object]


class _Present(threading.local):
    step = "ledger"


_present = _Present()
_watchers: list[Watcher] = []


def obey(environ: Mapping[str, str] = os.environ) -> bool:
    """Watch for the point that the environment names, if it does. True if points are watched in this process.

    Raises `ConfigurationError` for a name that no point has.
    """
    if (name := environ.get(VARIABLE, "").strip()) and not _watchers:
        watch(_Death(*_parsed(name)))
    return bool(_watchers)


def watch(watcher: Watcher) -> None:
    """Have `watcher` called with the name of every point that is reached, in the thread that reaches it."""
    _watchers.append(watcher)


def reached(place: str) -> None:
    """This thread is at `place`: subject and moment, as in `commit.before`."""
    for watcher in _watchers:
        watcher(f"{_present.step}.{place}")


def within(step: str) -> AbstractContextManager[None]:
    """What this thread reaches inside belongs to that step."""
    return _within(step) if _watchers else nullcontext()


@contextmanager
def _within(step: str) -> Iterator[None]:
    before, _present.step = _present.step, step
    try:
        yield
    finally:
        _present.step = before


class _Death:
    """Kills the process when a point is reached for the n-th time."""

    def __init__(self, point: str, nth: int) -> None:
        self._point = point
        self._nth = nth
        self._times = count(1)

    def __call__(self, point: str) -> None:
        if point == self._point and next(self._times) == self._nth:
            os.kill(os.getpid(), signal.SIGKILL)


def _parsed(name: str) -> tuple[str, int]:
    point, mark, nth = name.partition("#")
    parts = point.split(".")
    known = len(parts) == 3 and all(part in words for part, words in zip(parts, _WORDS.values(), strict=True))
    if not known or (mark and not (nth.isascii() and nth.isdecimal() and int(nth))):
        words = "; ".join(f"{part}: {' '.join(words)}" for part, words in _WORDS.items())
        raise ConfigurationError(f"{VARIABLE}={name} is no crash point; write STEP.SUBJECT.MOMENT[#NTH] ({words})")
    return point, int(nth or 1)


_WORDS: Final = {"STEP": STEPS, "SUBJECT": SUBJECTS, "MOMENT": MOMENTS}
