"""Processes that die, without one."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from ledger import Ledger


class Death(BaseException):
    """The process is gone."""


class Mortal:
    """A ledger as one process sees it. `dies` is asked before and after each append; once dead it does no more."""

    def __init__(self, ledger: Ledger, dies: Callable[[], bool]) -> None:
        self._ledger = ledger
        self._dies = dies
        self._dead = False

    def __getattr__(self, name: str) -> Any:
        if self._dead:
            raise Death
        return getattr(self._ledger, name)

    def append(self, *args: Any, **options: Any) -> list[int]:
        """Append, unless it dies before that; or die before anybody learns of it."""
        if self._dies():
            self.die()
        positions: list[int] = self.__getattr__("append")(*args, **options)
        if self._dies():
            self.die()
        return positions

    def die(self) -> None:
        """Die here and now."""
        self._dead = True
        raise Death
