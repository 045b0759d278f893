"""Many things with bodies, a page at a time: bounded by their number and by their bytes."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from typing import Final, TypeVar

__all__ = ["PAGE_BYTES", "pages"]

PAGE_BYTES: Final = 32 * 1024 * 1024
"""A page that has come to this size takes nothing more."""

_Item = TypeVar("_Item")


def pages(items: Iterable[_Item], size_of: Callable[[_Item], int], *, most: int) -> Iterator[list[_Item]]:
    """The items in order, in lists of at most `most` and of about `PAGE_BYTES`; none of them is empty.

    If `items` fails, what it gave before comes out first, then the failure.
    """
    page: list[_Item] = []
    size = 0
    try:
        for item in items:
            page.append(item)
            size += size_of(item)
            if len(page) == most or size >= PAGE_BYTES:
                full, page, size = page, [], 0
                yield full
    except Exception:
        if page:
            yield page
        raise
    if page:
        yield page
