"""Pages are bounded by their number and by their bytes."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from scheduler.pages import PAGE_BYTES, pages

MEGABYTE = 1024 * 1024


@pytest.mark.parametrize(
    ("sizes", "expected"),
    [
        ([], []),
        ([0] * 7, [3, 3, 1]),
        ([0] * 6, [3, 3]),
        ([PAGE_BYTES] * 3, [1, 1, 1]),
        ([31 * MEGABYTE, MEGABYTE, MEGABYTE], [2, 1]),
        ([100 * MEGABYTE, 0, 0, 0, 0], [1, 3, 1]),
    ],
)
def test_what_comes_in_goes_out_in_order(sizes: list[int], expected: list[int]) -> None:
    made = list(pages(enumerate(sizes), lambda item: item[1], most=3))
    assert [len(page) for page in made] == expected
    assert [item for page in made for item in page] == list(enumerate(sizes))


def test_nothing_is_read_ahead() -> None:
    taken = iter(range(10))
    assert next(pages(taken, lambda _: 0, most=3)) == [0, 1, 2]
    assert next(taken) == 3


@pytest.mark.parametrize(("given", "expected"), [(0, []), (2, [[0, 1]]), (3, [[0, 1, 2]]), (4, [[0, 1, 2], [3]])])
def test_what_comes_before_a_failure_comes_out_before_it(given: int, expected: list[list[int]]) -> None:
    def failing() -> Iterator[int]:
        yield from range(given)
        raise OSError("broken off")

    made: list[list[int]] = []
    with pytest.raises(OSError, match="broken off"):
        made.extend(pages(failing(), lambda _: 0, most=3))
    assert made == expected
