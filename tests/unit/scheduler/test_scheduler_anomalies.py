"""What should not be, in words, and when enough has been seen of it."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest

from ledger.events import BatchCounts, BatchEnded, BatchPolled, EventData
from scheduler.anomalies import EVERYTHING, digest, gone, joined, lack, looks, lost

NOON = datetime(2026, 11, 1, 12, tzinfo=UTC)


def look(hours: float, lacking: str | None, *, told: bool = True) -> BatchPolled:
    at = NOON + timedelta(hours=hours)
    return BatchPolled(next_poll_at=at, provider_time=at if told else None, lacking=lacking)


@pytest.mark.parametrize(
    ("missing", "which"),
    [
        ([3], "1 items are missing (3)"),
        ([0, 1, 2, 7, 9, 10], "6 items are missing (0-2, 7, 9-10)"),
        (list(range(0, 20, 2)), "10 items are missing (0, 2, 4, 6, 8, …)"),
    ],
)
def test_missing_items_are_named(missing: list[int], which: str) -> None:
    assert lack(missing).endswith(which)


def test_each_set_of_missing_items_has_a_digest_of_its_own() -> None:
    assert len({digest(missing) for missing in ([1], [2], [1, 2], [12], list(range(10_000)))}) == 5
    assert digest([1, 2]) == digest([1, 2])


def test_remarks_are_joined() -> None:
    assert joined(None, None) is None
    assert joined("one", None, "two") == "one; two"


def test_looks_that_found_the_same_missing_are_counted() -> None:
    log: list[EventData] = [
        look(9, "a"),
        look(8, None),
        look(7, EVERYTHING),
        look(6, "a", told=False),
        look(5, "a"),
        look(4, "b"),
        look(3, "a"),
    ]
    assert list(looks(log, "a")) == [NOON + timedelta(hours=hours) for hours in (9, 5)]
    assert list(looks(log, "b")) == []


def test_a_whole_reading_begins_the_count_of_vain_looks_anew() -> None:
    log: list[EventData] = [
        look(9, EVERYTHING),
        look(8, None),
        look(7, EVERYTHING),
        look(6, "a"),
        look(5, EVERYTHING),
    ]
    assert len(list(looks(log, EVERYTHING))) == 2


def test_what_came_before_the_end_does_not_count() -> None:
    ended = BatchEnded(ended_at=NOON, counts=BatchCounts())
    assert len(list(looks([look(2, "a"), ended, look(1, "a")], "a"))) == 1


@pytest.mark.parametrize(
    ("hours", "is_lost"),
    [
        ([], False),
        ([30], False),
        ([30, 0], False),
        ([30, 20, 10], False),
        ([24, 1, 0], True),
        ([40, 20, 10, 0], True),
    ],
)
def test_three_whole_readings_over_a_day_are_enough(hours: list[float], is_lost: bool) -> None:
    assert lost(NOON + timedelta(hours=one) for one in hours) == is_lost


@pytest.mark.parametrize(
    ("hours", "is_gone"),
    [([], False), ([2, 1], False), ([2, 1, -1], False), ([2, 1, 0], True), ([3, 2, 1, -1], True)],
)
def test_three_vain_looks_past_the_end_are_enough(hours: list[float], is_gone: bool) -> None:
    assert gone((NOON + timedelta(hours=one) for one in hours), NOON) == is_gone
