"""Counts as providers tell them: tokens of one response, and the strict reading of JSON that holds them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

import msgspec

from ledger.errors import UsageUnreadable

__all__ = ["MOST", "Tokens", "count", "section", "split"]

MOST: Final = 2**53
"""The last count that every JSON reader keeps; sums of it still fit the database's integers."""


class Tokens(msgspec.Struct, frozen=True, gc=False):
    """What was used, in tokens (`web_searches` in searches). The five token counts are disjoint."""

    uncached: int = 0
    write_5m: int = 0
    write_1h: int = 0
    read: int = 0
    output: int = 0
    web_searches: int = 0

    @property
    def prompt(self) -> int:
        """The whole prompt: input read, written and neither."""
        return self.uncached + self.writes + self.read

    @property
    def writes(self) -> int:
        """Cache writes of both lifetimes."""
        return self.write_5m + self.write_1h

    def __add__(self, other: Tokens) -> Tokens:
        return Tokens(
            self.uncached + other.uncached,
            self.write_5m + other.write_5m,
            self.write_1h + other.write_1h,
            self.read + other.read,
            self.output + other.output,
            self.web_searches + other.web_searches,
        )


def split(counts: Mapping[str, Any], where: str) -> tuple[int, int]:
    """Cache writes whose lifetime is named: (5 minutes, 1 hour)."""
    named = section(counts, "cache_creation", where)
    where = f"{where}.cache_creation"
    five_minutes = count(named, "ephemeral_5m_input_tokens", where)
    return five_minutes, count(named, "ephemeral_1h_input_tokens", where)


def count(counts: Mapping[str, Any], field: str, where: str) -> int:
    """A count, 0 where it is missing or null. `UsageUnreadable` for what is no whole number from 0 to 2^53."""
    value = counts.get(field)
    if value is None:
        return 0
    # bool is an int to isinstance, and no count.
    if type(value) is not int or not 0 <= value <= MOST:
        raise UsageUnreadable(f"{where}.{field}", f"{value!r} is no count")
    return value


def section(counts: Mapping[str, Any], field: str, where: str) -> Mapping[str, Any]:
    """An object within; an empty one where it is missing or null. `UsageUnreadable` for anything else."""
    value = counts.get(field)
    if value is None:
        return {}
    if not isinstance(value, Mapping):
        raise UsageUnreadable(f"{where}.{field}", f"expected an object, got {type(value).__name__}")
    return value
