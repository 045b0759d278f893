from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from ledger.projections.lanes import Lanes

counts = st.lists(st.lists(st.integers(-(2**53), 2**53), min_size=5, max_size=5), max_size=20)


@given(counts)
def test_adding_packed_rows_adds_every_counter(rows: list[list[int]]) -> None:
    lanes = Lanes(5)

    total = sum(lanes.pack(row) for row in rows)

    assert lanes.unpack(total) == [sum(column) for column in zip([0] * 5, *rows, strict=True)]


def test_counters_left_out_at_the_end_are_nought() -> None:
    lanes = Lanes(3)
    assert lanes.unpack(lanes.pack((-1,)) + lanes.pack((1, -2))) == [0, -2, 0]


def test_the_full_range_of_64_bits() -> None:
    lanes = Lanes(2)
    assert lanes.unpack(lanes.pack((-(2**63), 2**63 - 1))) == [-(2**63), 2**63 - 1]
