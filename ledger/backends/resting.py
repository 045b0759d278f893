"""Who is using a database at the moment, so that a fork can happen while nobody does."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager

__all__ = ["Resting"]


class Resting:
    """Lets users in, one within another as well, but nobody new while a fork is waited for."""

    def __init__(self) -> None:
        self.renew()

    def renew(self) -> None:
        """Begin with no users: in a forked child, where the other threads are gone."""
        self._changed = threading.Condition()
        self._users = 0
        self._forking = False
        self._mine = threading.local()

    @contextmanager
    def use(self) -> Iterator[None]:
        """Be a user. Waits while this process is being forked, unless the thread is a user already."""
        depth = getattr(self._mine, "depth", 0)
        with self._changed:
            if not depth:
                self._changed.wait_for(lambda: not self._forking)
                self._users += 1
        self._mine.depth = depth + 1
        try:
            yield
        finally:
            self._mine.depth = depth
            if not depth:
                with self._changed:
                    self._users -= 1
                    self._changed.notify_all()

    def stop(self, seconds: float) -> bool:
        """Keep newcomers out until `go_on`. Whether there was no user left within that time."""
        self._changed.acquire()
        self._forking = True
        if getattr(self._mine, "depth", 0):
            return False  # the one who forks is a user, and waiting will not change that
        return self._changed.wait_for(lambda: not self._users, seconds)

    def go_on(self) -> None:
        """Let everybody in again."""
        self._forking = False
        self._changed.notify_all()
        self._changed.release()
