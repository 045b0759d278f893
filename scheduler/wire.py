"""Ids on the wire: `<nonce>-<index>` names an item of one submission, and proves later whose batch it was in."""

from __future__ import annotations

from typing import Final

__all__ = ["ITEM_OVERHEAD", "parse_wire_id", "wire_id"]

ITEM_OVERHEAD: Final = 64
"""Bytes of a batch body per item beyond its params, rounded up: id, keys, punctuation."""


def wire_id(nonce: str, index: int) -> str:
    """The `custom_id` under which item `index` travels."""
    return f"{nonce}-{index}"


def parse_wire_id(custom_id: str) -> tuple[str, int] | None:
    """(nonce, index) of a `custom_id`, None if it is not of our making."""
    nonce, dash, index = custom_id.rpartition("-")
    if not dash or not nonce or not (index.isascii() and index.isdigit()) or len(index) > 6:
        return None
    return (nonce, int(index)) if str(int(index)) == index else None
