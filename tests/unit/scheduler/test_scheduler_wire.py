"""Ids on the wire, there and back."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from scheduler.wire import ITEM_OVERHEAD, parse_wire_id, wire_id


@given(st.text("0123456789abcdef", min_size=1, max_size=32), st.integers(0, 999_999))
def test_an_id_comes_back_as_it_went(nonce: str, index: int) -> None:
    assert parse_wire_id(wire_id(nonce, index)) == (nonce, index)


@pytest.mark.parametrize(
    "foreign",
    ["", "-", "-1", "nonce", "nonce-", "nonce-x", "nonce-01", "nonce-1 ", "nonce-+1", "n-1000000", "n-²", "n-٣"],
)
def test_an_id_of_somebody_else_is_none_of_ours(foreign: str) -> None:
    assert parse_wire_id(foreign) is None


@given(st.text(max_size=70))
def test_any_id_is_either_ours_or_none(custom_id: str) -> None:
    parsed = parse_wire_id(custom_id)
    assert parsed is None or wire_id(*parsed) == custom_id


def test_the_overhead_covers_an_item_of_the_longest_id() -> None:
    framing = len('{"custom_id":"","params":},') + len(wire_id("f" * 16, 99_999))
    assert framing <= ITEM_OVERHEAD
