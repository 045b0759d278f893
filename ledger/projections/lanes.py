"""A row of counters in one integer, so that one addition adds them all."""

from __future__ import annotations

from collections.abc import Sequence
from struct import Struct

__all__ = ["Lanes"]

_WIDTH = 64


class Lanes:
    """So many counters of 64 bits, which may be negative, side by side in a Python integer."""

    def __init__(self, counters: int) -> None:
        self._shifts = range(0, counters * _WIDTH, _WIDTH)
        self._size = counters * _WIDTH // 8
        self._unpack = Struct(f"<{counters}Q").unpack
        self._middle = 1 << (_WIDTH - 1)
        # Lifts every lane above zero, so that none borrows from its neighbour while they are taken apart.
        self._lift = sum(self._middle << shift for shift in self._shifts)

    def pack(self, counts: Sequence[int]) -> int:
        """The integer for these counters; those left out at the end are 0."""
        packed = 0
        for count, shift in zip(counts, self._shifts, strict=False):
            if count:
                packed += count << shift
        return packed

    def unpack(self, packed: int) -> list[int]:
        """The counters of such an integer, or of a sum of them."""
        middle = self._middle
        lanes = self._unpack((packed + self._lift).to_bytes(self._size, "little"))
        return [lane - middle for lane in lanes]
