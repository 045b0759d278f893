"""Processes that die, without one."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any
from uuid import UUID

from ledger import Ledger, NewEvent

__all__ = ["Death", "Mortal"]


class Death(BaseException):
    """The process is gone."""


class Mortal:
    """A ledger as one process sees it. `dies` is asked before and after each append; once dead it does no more.

    `acknowledged` holds, by position, the ids of the events that its process learned to be stored.
    """

    def __init__(self, ledger: Ledger, dies: Callable[[], bool], acknowledged: dict[int, UUID] | None = None) -> None:
        self._ledger = ledger
        self._dies = dies
        self._dead = False
        self.acknowledged = acknowledged if acknowledged is not None else {}

    def __getattr__(self, name: str) -> Any:
        if self._dead:
            raise Death
        return getattr(self._ledger, name)

    def append(self, events: Iterable[NewEvent], **options: Any) -> list[int]:
        """Append, unless it dies before that; or die before anybody learns of it."""
        events = list(events)
        if self._dies():
            self.die()
        positions: list[int] = self.__getattr__("append")(events, **options)
        if self._dies():
            self.die()
        self.acknowledged.update(zip(positions, (event.event_id for event in events), strict=True))
        return positions

    def die(self) -> None:
        """Die here and now."""
        self._dead = True
        raise Death
