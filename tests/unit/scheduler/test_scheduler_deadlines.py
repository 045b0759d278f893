"""Results are kept for a while only; who may miss them is told in time."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from ledger.clock import to_micros
from ledger.projections import BatchRow
from scheduler.deadlines import alarm, expired, kept_until

CREATED = datetime(2026, 11, 1, 12, tzinfo=UTC)
KEPT = 29 * 86_400
END = CREATED + timedelta(seconds=KEPT)


def batch(status: str = "ended", **fields: Any) -> BatchRow:
    known: dict[str, Any] = {"created_at": to_micros(CREATED)} | fields
    return BatchRow("id", 1, 1, status, "anthropic", "v", "", 1, 1, 0, 0, **known)


@pytest.mark.parametrize(
    ("left", "said"),
    [
        (timedelta(days=7, seconds=1), None),
        (timedelta(days=7), None),
        (timedelta(days=7, microseconds=-1), "less than 7 days from now"),
        (timedelta(days=1, seconds=1), "less than 7 days from now"),
        (timedelta(hours=23), "less than a day from now"),
        (timedelta(), "may be gone"),
        (timedelta(days=-40), "may be gone"),
    ],
)
def test_the_alarm_changes_a_week_and_a_day_before_the_end_and_then(left: timedelta, said: str | None) -> None:
    told = alarm(batch(), END - left, KEPT)
    assert (told is None) == (said is None)
    if said is not None:
        assert told is not None
        assert said in told
        assert "2026-11-30 12:00 UTC" in told


@pytest.mark.parametrize("status", ["in_progress", "canceling", "ended"])
def test_it_is_about_results_that_are_not_fetched_yet(status: str) -> None:
    assert alarm(batch(status), END, KEPT)


@pytest.mark.parametrize("status", ["planned", "submitting", "uncertain", "collected", "failed"])
def test_whose_results_are_fetched_or_unknown_is_in_no_danger(status: str) -> None:
    assert alarm(batch(status), END, KEPT) is None


def test_without_a_creation_or_a_clock_nothing_is_known() -> None:
    assert kept_until(batch(created_at=None), KEPT) is None
    assert alarm(batch(created_at=None), END, KEPT) is None
    assert not expired(batch(created_at=None), END, KEPT)
    assert not expired(batch(), None, KEPT)


def test_they_are_expired_from_the_end_on() -> None:
    assert not expired(batch(), END - timedelta(microseconds=1), KEPT)
    assert expired(batch(), END, KEPT)
