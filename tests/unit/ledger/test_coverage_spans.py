"""Periods, cut into the fewest rollup rows that make them up."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from itertools import pairwise
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ledger.coverage import Span, cover, cover_days, parse_instant, zone
from ledger.errors import InputError
from ledger.projections import DAY, HOUR, QUARTER, TOTAL

BASE = datetime(2026, 10, 24, tzinfo=UTC)
ZERO = int(BASE.timestamp())


def at(*, days: int = 0, hours: int = 0, minutes: int = 0) -> datetime:
    return BASE + timedelta(days=days, hours=hours, minutes=minutes)


def test_all_time_is_one_row() -> None:
    assert cover(None, None) == [Span(TOTAL, 0, 1)]


def test_coarse_rows_inside_and_fine_ones_at_the_edges() -> None:
    assert cover(at(hours=21, minutes=30), at(days=3, hours=1, minutes=15)) == [
        Span(QUARTER, ZERO + 21 * HOUR + 1800, ZERO + 22 * HOUR),
        Span(HOUR, ZERO + 22 * HOUR, ZERO + DAY),
        Span(DAY, ZERO + DAY, ZERO + 3 * DAY),
        Span(HOUR, ZERO + 3 * DAY, ZERO + 3 * DAY + HOUR),
        Span(QUARTER, ZERO + 3 * DAY + HOUR, ZERO + 3 * DAY + HOUR + 900),
    ]


def test_whole_days_need_no_finer_rows() -> None:
    assert cover(at(), at(days=2)) == [Span(DAY, ZERO, ZERO + 2 * DAY)]
    assert cover(at(hours=1), at(hours=3)) == [Span(HOUR, ZERO + HOUR, ZERO + 3 * HOUR)]
    assert cover(at(minutes=15), at(minutes=45)) == [Span(QUARTER, ZERO + 900, ZERO + 2700)]


@pytest.mark.parametrize(("since", "until"), [(at(), at()), (at(hours=5), at(hours=1)), (at(days=2), at())])
def test_an_empty_period_has_no_rows(since: datetime, until: datetime) -> None:
    assert cover(since, until) == []
    assert cover_days(since, until, UTC) == []
    assert cover_days(since, until, zone("Asia/Kathmandu")) == []


quarters = st.none() | st.integers(0, 4 * 24 * 5).map(lambda number: at(minutes=15 * number))


@given(quarters, quarters)
def test_spans_join_without_gap_or_overlap(since: datetime | None, until: datetime | None) -> None:
    for spans in (
        cover(since, until),
        cover_days(since, until, UTC),
        cover_days(since, until, ZoneInfo("Asia/Tokyo")),
    ):
        if spans == [Span(TOTAL, 0, 1)]:
            continue
        assert all(before.end == after.start for before, after in pairwise(spans))
        assert all(span.start % span.grain == span.end % span.grain == 0 for span in spans)
        if since is not None and until is not None and since >= until:
            assert spans == []
        else:
            assert spans[0].start == (int(since.timestamp()) if since else 0)
            assert spans[-1].end == int(until.timestamp()) if until else spans[-1].end > 2**39


def test_days_of_utc_are_coarse_and_others_quarters() -> None:
    since, until = at(hours=22), at(days=2)
    assert cover_days(since, until, UTC) == cover(since, until)
    assert [span.grain for span in cover_days(None, None, UTC)] == [DAY]
    assert cover_days(since, until, ZoneInfo("Asia/Kathmandu")) == [
        Span(QUARTER, ZERO + 22 * HOUR, ZERO + 2 * DAY),
    ]


# --- zones and instants --------------------------------------------------------------------------------------


def test_zones_go_by_their_names() -> None:
    assert zone("UTC") is UTC
    assert zone("utc") is UTC
    assert zone("Asia/Kathmandu") == ZoneInfo("Asia/Kathmandu")


@pytest.mark.parametrize("name", ["", "Nowhere/Here", "../../etc/passwd", "Europe", "a\0b", "x" * 500, "+01:00"])
def test_other_zones_are_refused(name: str) -> None:
    with pytest.raises(InputError, match="is no time zone; use an IANA name"):
        zone(name)


@pytest.mark.parametrize(
    ("text", "where", "expected"),
    [
        ("2026-11-22", "UTC", datetime(2026, 11, 22, tzinfo=UTC)),
        ("2026-11-22", "Asia/Kathmandu", datetime(2026, 11, 21, 18, 15, tzinfo=UTC)),
        ("2026-11-22T14:30", "Europe/Berlin", datetime(2026, 11, 22, 13, 30, tzinfo=UTC)),
        ("2026-07-01T14:30", "Europe/Berlin", datetime(2026, 7, 1, 12, 30, tzinfo=UTC)),
        ("2026-11-22T14:30Z", "Europe/Berlin", datetime(2026, 11, 22, 14, 30, tzinfo=UTC)),
        ("2026-11-22T14:30+05:45", "UTC", datetime(2026, 11, 22, 8, 45, tzinfo=UTC)),
    ],
)
def test_instants_are_read_in_the_zone(text: str, where: str, expected: datetime) -> None:
    found = parse_instant(text, zone(where))
    assert found == expected
    assert found.tzinfo is UTC


@pytest.mark.parametrize("text", ["", "yesterday", "2026-13-01", "22.11.2026", "9999-12-31T23:45-12:00"])
def test_what_is_no_date_is_refused(text: str) -> None:
    with pytest.raises(InputError, match="is no date; write 2026-11-22"):
        parse_instant(text, UTC)


def test_a_date_before_the_calendar_is_refused() -> None:
    with pytest.raises(InputError, match="is no date"):
        parse_instant("0001-01-01", zone("Asia/Kathmandu"))


@pytest.mark.parametrize("text", ["2026-11-22T14:31", "2026-11-22T14:30:01", "2026-11-22T14:30:00.000001"])
def test_finer_than_a_quarter_hour_is_refused(text: str) -> None:
    with pytest.raises(InputError, match="not on a quarter hour"):
        parse_instant(text, UTC)
