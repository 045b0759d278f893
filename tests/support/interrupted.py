"""Races, one at a time and always the same way."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from ledger import Ledger


class Interrupted:
    """A ledger to which something happens just before one of its methods is used: the first use, or a later one."""

    def __init__(self, ledger: Ledger, method: str, action: Callable[[], object], *, skip: int = 0) -> None:
        self._ledger = ledger
        self._method = method
        self._action: Callable[[], object] | None = action
        self._skip = skip

    def __getattr__(self, name: str) -> Any:
        if name == self._method and self._action is not None:
            if self._skip:
                self._skip -= 1
            else:
                action, self._action = self._action, None
                action()
        return getattr(self._ledger, name)

    @property
    def happened(self) -> bool:
        return self._action is None
