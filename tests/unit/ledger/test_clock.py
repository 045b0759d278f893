"""Instants and whole microseconds."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta, timezone

from hypothesis import given
from hypothesis import strategies as st

from ledger.clock import SystemClock, from_micros, to_micros


def test_microseconds_count_from_1970() -> None:
    assert to_micros(datetime(1970, 1, 1, tzinfo=UTC)) == 0
    assert to_micros(datetime(1970, 1, 1, 0, 0, 1, 5, tzinfo=UTC)) == 1_000_005
    assert to_micros(datetime(1969, 12, 31, 23, 59, 59, 999_999, tzinfo=UTC)) == -1


@given(st.datetimes(timezones=st.timezones()))
def test_an_instant_comes_back_to_the_microsecond(instant: datetime) -> None:
    back = from_micros(to_micros(instant))
    assert back == instant.astimezone(UTC)
    assert back.tzinfo is UTC


def test_an_offset_does_not_matter() -> None:
    there = datetime(2026, 11, 22, 5, 45, tzinfo=timezone(timedelta(hours=5, minutes=45)))
    assert to_micros(there) == to_micros(datetime(2026, 11, 22, tzinfo=UTC))


def test_the_machines_clock_is_aware_and_goes_forward() -> None:
    clock = SystemClock()
    assert clock.now().utcoffset() == timedelta()
    assert clock.monotonic() <= clock.monotonic()
