"""Group commit: what arrives while somebody commits goes into the next commit, together.

A commit costs one sync of the disk however many appends it holds. There is no thread and no queue to drain:
whoever finds nobody writing writes for everybody who waits. Before it does, it gives those of the group before a
moment to come back: else whoever wakes up first would write alone, and the others after it.
"""

from __future__ import annotations

import threading
import time
from collections import deque
from collections.abc import Callable, Sequence
from typing import Final

from sqlalchemy import Connection

from ledger.encoding import EncodedEvent
from ledger.errors import DatabaseUnusable
from ledger.payloads import EncodedPayload

__all__ = ["GROUP", "Append", "Turns", "gather_seconds"]

GROUP: Final = 5000
"""Events after which a group is full."""


class Append:
    """One caller's append on its way: all of its events are stored, or none."""

    def __init__(
        self,
        events: Sequence[EncodedEvent],
        payloads: Sequence[EncodedPayload],
        guard: Callable[[Connection], None] | None,
    ) -> None:
        self.events = events
        self.payloads = payloads
        self.guard = guard
        self.positions: list[int] | None = None if events else []
        self.refusal: Exception | None = None

    @property
    def done(self) -> bool:
        """True once it is decided."""
        return self.positions is not None or self.refusal is not None

    def decide(self, how: Callable[[Append], list[int]]) -> None:
        """Take what `how` returns or raises for the outcome."""
        try:
            self.positions = how(self)
            self.refusal = None
        except Exception as error:
            self.refusal = error

    def result(self) -> list[int]:
        """The positions, or the reason why there are none."""
        if self.refusal is not None:
            raise self.refusal
        assert self.positions is not None
        return self.positions


class Turns:
    """Takes appends one group at a time to `write`, which stores a group in one transaction or raises."""

    def __init__(self, write: Callable[[Sequence[Append]], None]) -> None:
        self._write = write
        self._waiting: deque[Append] = deque()
        self._lock = threading.Lock()
        self._written = threading.Condition(self._lock)
        self._gathered = threading.Condition(self._lock)
        self._is_led = False
        self._arrived = self._expected = 0
        self._gather_seconds = 0.0

    def take(self, append: Append) -> list[int]:
        """Have it stored, with whatever else waits. Raises what `write` raised for this append alone."""
        self.take_all([append])
        return append.result()

    def take_all(self, appends: Sequence[Append]) -> None:
        """Have each of them decided, with whatever else waits."""
        undecided = [append for append in appends if not append.done]
        if not undecided:
            return
        with self._lock:
            self._waiting.extend(undecided)
            self._arrived += 1
            if self._arrived == self._expected:
                self._gathered.notify()
            try:
                while not all(append.done for append in undecided):
                    if self._is_led:
                        self._written.wait()
                    else:
                        self._lead()
            except BaseException:
                # This thread is being stopped and takes its own appends along; the others' are theirs to write.
                for append in undecided:
                    if append in self._waiting:
                        self._waiting.remove(append)
                raise

    def _lead(self) -> None:
        """Write the next group for everybody in it. The lock is held, but not while it is written."""
        self._is_led = True
        group: list[Append] = []
        try:
            # Those written last time are likely to be back in a moment.
            self._gathered.wait_for(lambda: self._arrived >= self._expected, self._gather_seconds)
            group = self._next_group()
            self._expected, self._arrived = 0 if self._waiting else self._arrived, 0
            self._lock.release()
            try:
                started = time.monotonic()
                self._decide(group)
                self._gather_seconds = gather_seconds(time.monotonic() - started)
            finally:
                self._lock.acquire()
        finally:
            self._waiting.extendleft(reversed([append for append in group if not append.done]))
            self._is_led = False
            self._written.notify_all()

    def _next_group(self) -> list[Append]:
        group: list[Append] = []
        room = GROUP
        while self._waiting and (not group or len(self._waiting[0].events) <= room):
            group.append(self._waiting.popleft())
            room -= len(group[-1].events)
        return group

    def _decide(self, group: Sequence[Append]) -> None:
        try:
            self._write(group)
        except Exception as error:
            if len(group) == 1 or self._is_down(error):
                for append in group:
                    append.refusal = error
            else:
                # One of them was refused and took the others' transaction with it: each by itself, then.
                for append in group:
                    self._decide([append])

    def _is_down(self, error: Exception) -> bool:
        """True if nothing can be written now: each by itself would wait in vain, for a lock or a server."""
        if not isinstance(error, DatabaseUnusable):
            return False
        try:
            self._write(())
        except Exception:
            return True
        return False


def gather_seconds(took: float) -> float:
    """How long to wait for those who were in a group that took so many seconds: half of that, and 5 ms at most."""
    return min(took / 2, 0.005)
