"""The bill, the total, every grouping and every partition of time: different ways to the same sum."""

from __future__ import annotations

from datetime import datetime, timedelta
from itertools import pairwise
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ledger import Ledger
from ledger.queries import requests
from ledger.savings import Period
from ledger.summary import savings
from tests.support.history import History
from tests.support.ledgers import bare_ledger
from tests.support.mixed import mixed_history
from tests.support.random_history import EVENING, Step, play, steps
from tests.support.sums import added, figures, figures_of_items

ZONES = ("UTC", "Europe/Berlin", "Asia/Kathmandu", "America/New_York", "Australia/Lord_Howe", "Pacific/Apia")
GROUPINGS = ("day", "model", "provider", "tag:team", "tag:env", "tag:nobody's")
BILLED = ("tokens.", "cost.", "savings.", "waste.duplicates")

quarters = st.integers(-8, 4 * 24 * 6).map(lambda number: EVENING + timedelta(minutes=15 * number))


def played(script: list[Step]) -> Ledger:
    ledger = bare_ledger()
    ledger.append(play([("adopt", 0, 0), *script]))
    return ledger


@settings(max_examples=25)
@given(steps(), st.sampled_from(ZONES))
def test_items_total_and_groupings_come_to_the_same(script: list[Step], zone: str) -> None:
    with played(script) as ledger:
        total = added([savings(ledger, Period(timezone=zone))])
        assert {name: value for name, value in total.items() if name.startswith(BILLED)} == figures_of_items(ledger)
        for grouping in GROUPINGS:
            assert added(savings(ledger, Period(timezone=zone), grouping)["groups"]) == total, grouping


@settings(max_examples=25)
@given(steps(), st.lists(quarters, max_size=4), st.sampled_from(ZONES), st.sampled_from(GROUPINGS))
def test_parts_of_time_come_to_the_whole(script: list[Step], cuts: list[datetime], zone: str, by: str) -> None:
    with played(script) as ledger:
        edges = [None, *sorted(cuts), None]
        parts = [savings(ledger, Period(since, until, zone), by) for since, until in pairwise(edges)]
        assert added(parts) == added([savings(ledger, Period(timezone=zone))])
        for part in parts:
            assert added(part["groups"]) == added([part])


@settings(max_examples=20)
@given(steps())
def test_requests_are_counted_once(script: list[Step]) -> None:
    with played(script) as ledger:
        counted = savings(ledger, Period())["requests"]
        statuses = [row.status for row in requests(ledger)]
        assert counted["succeeded"] == statuses.count("succeeded")
        assert counted["failed"] == statuses.count("errored") + statuses.count("abandoned")
        assert counted["canceled"] == statuses.count("canceled")
        assert counted["total"] == counted["succeeded"] + counted["failed"] + counted["canceled"]


@pytest.fixture
def mixed(ledger: Ledger, history: History) -> Ledger:
    ledger.append(mixed_history(history).take())
    return ledger


@pytest.mark.parametrize("zone", ZONES)
@pytest.mark.parametrize("by", GROUPINGS)
def test_the_mixed_history_adds_up(mixed: Ledger, by: str, zone: str) -> None:
    report = savings(mixed, Period(timezone=zone), by)
    assert added(report["groups"]) == added([report])
    assert figures(report)["cost.actual"] > 0


def test_a_day_that_has_25_hours(ledger: Ledger, history: History) -> None:
    """25 October 2026 in Berlin: from 22:00 UTC of the day before to 23:00 UTC."""
    for hour in range(30):
        history.clock.set(EVENING.replace(hour=21, minute=45) + timedelta(hours=hour))
        history.succeed(history.request(mode="standard"))
    ledger.append(history.take())
    days = savings(ledger, Period(timezone="Europe/Berlin"), "day")["groups"]
    assert [(day["name"], day["requests"]["succeeded"]) for day in days] == [
        ("2026-10-24", 1),
        ("2026-10-25", 25),
        ("2026-10-26", 4),
    ]
    berlin = ZoneInfo("Europe/Berlin")
    period = Period(datetime(2026, 10, 25, tzinfo=berlin), datetime(2026, 10, 26, tzinfo=berlin), "Europe/Berlin")
    report = savings(ledger, period, "day")
    assert report["requests"]["succeeded"] == 25
    assert [day["name"] for day in report["groups"]] == ["2026-10-25"]


def test_a_day_that_begins_at_a_quarter_to(ledger: Ledger, history: History) -> None:
    """Midnight in Kathmandu is 18:15 UTC."""
    for minute in (0, 14, 15, 59):
        history.clock.set(EVENING.replace(hour=18, minute=minute))
        history.succeed(history.request(mode="standard"))
    ledger.append(history.take())
    days = savings(ledger, Period(timezone="Asia/Kathmandu"), "day")["groups"]
    assert [(day["name"], day["requests"]["succeeded"]) for day in days] == [("2026-10-24", 2), ("2026-10-25", 2)]


def test_days_of_utc_of_a_period_that_begins_and_ends_within_days(ledger: Ledger, history: History) -> None:
    for hour in range(72):
        history.clock.set(EVENING.replace(hour=0, minute=0) + timedelta(hours=hour))
        history.succeed(history.request(mode="standard"))
    ledger.append(history.take())
    since = EVENING.replace(hour=14, minute=30)
    report = savings(ledger, Period(since, since + timedelta(hours=30)), "day")
    assert [(day["name"], day["requests"]["succeeded"]) for day in report["groups"]] == [
        ("2026-10-24", 9),
        ("2026-10-25", 21),
    ]
    assert report["requests"]["succeeded"] == 30
