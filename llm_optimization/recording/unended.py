"""Calls that have begun: what a process leaves open as it exits is told to leave while there is a ledger to tell."""

from __future__ import annotations

import atexit
import os
from contextlib import suppress
from typing import Final, Protocol
from weakref import WeakSet

import llm_optimization.recording.behind  # noqa: F401 - exit handlers run in the opposite order: this one before its

__all__ = ["Unended", "begun"]


class Unended(Protocol):
    """A call, or what hears its answer. It records its end once, and in the process that began it only."""

    def leave(self) -> None:
        """Nobody will hear the rest of it. Does nothing after its end."""
        ...


def begun(one: Unended) -> int:
    """Have it told to leave if the process exits before its end. The id of the process, whose call it is."""
    _begun.add(one)
    return os.getpid()


def _leave_all() -> None:
    for one in _all():
        with suppress(Exception):
            one.leave()


def _all() -> list[Unended]:
    while True:
        try:
            return list(_begun)
        except RuntimeError:  # a thread that the exit does not wait for begins another
            continue


_begun: Final[WeakSet[Unended]] = WeakSet()
atexit.register(_leave_all)
