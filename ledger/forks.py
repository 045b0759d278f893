"""What has to happen around `os.fork`: a child shares no lock, connection or thread with its parent."""

from __future__ import annotations

import os
import threading
from typing import Protocol
from weakref import WeakSet

__all__ = ["Forkable", "survives_forks"]


class Forkable(Protocol):
    """Something that a forked child goes on using."""

    def before_fork(self) -> None:
        """Come to rest, as far as that is needed for a child of this process to go on."""
        ...

    def after_fork(self, *, child: bool) -> None:
        """Go on; in the child with nothing of the parent's."""
        ...


_known: WeakSet[Forkable] = WeakSet()
_lock = threading.RLock()
_told: list[Forkable] = []


def survives_forks(one: Forkable) -> None:
    """Tell it of every fork of this process, as long as it lives."""
    with _lock:
        _known.add(one)


def _before() -> None:
    _lock.acquire()
    for one in list(_known):
        one.before_fork()
        _told.append(one)


def _after(*, child: bool) -> None:
    try:
        while _told:
            _told.pop().after_fork(child=child)
    finally:
        _lock.release()


if hasattr(os, "register_at_fork"):  # nothing forks on Windows
    os.register_at_fork(
        before=_before, after_in_parent=lambda: _after(child=False), after_in_child=lambda: _after(child=True)
    )
