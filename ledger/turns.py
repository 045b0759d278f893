"""Group commit: what arrives while somebody commits goes into the next commit, together.

A commit costs one sync of the disk however many appends it holds. There is no thread and no queue to drain:
whoever gets the turn writes for everybody who waits, and the others find their work done.
"""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Callable, Sequence
from typing import Final

from sqlalchemy import Connection

from ledger.encoding import EncodedEvent
from ledger.payloads import EncodedPayload

__all__ = ["Append", "Turns"]

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
        self.positions: list[int] | None = None
        self.refusal: Exception | None = None

    @property
    def done(self) -> bool:
        """True once it is decided."""
        return self.positions is not None or self.refusal is not None

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
        self._turn = threading.Lock()

    def take(self, append: Append) -> list[int]:
        """Have it stored, with whatever else waits. Raises what `write` raised for this append alone."""
        self._waiting.append(append)
        while not append.done:
            with self._turn:
                if not append.done:
                    self._lead_for(append)
        return append.result()

    def _lead_for(self, append: Append) -> None:
        group = self._next_group()
        try:
            self._lead(group)
        except BaseException:
            # This thread is being stopped and takes its own append along; the others' are theirs to write.
            left = [one for one in group if not one.done]
            self._waiting.extendleft(reversed(left))
            if append in self._waiting:
                self._waiting.remove(append)
            raise

    def _next_group(self) -> list[Append]:
        group: list[Append] = []
        room = GROUP
        while self._waiting and (not group or len(self._waiting[0].events) <= room):
            group.append(self._waiting.popleft())
            room -= len(group[-1].events)
        return group

    def _lead(self, group: Sequence[Append]) -> None:
        try:
            self._write(group)
        except Exception as error:
            if len(group) == 1:
                group[0].refusal = error
            else:
                # One of them was refused and took the others' transaction with it: each by itself, then.
                for append in group:
                    self._lead([append])
