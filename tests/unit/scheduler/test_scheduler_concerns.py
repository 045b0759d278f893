"""Which batches somebody should look at."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import msgspec
import pytest

from ledger.clock import to_micros
from ledger.events import (
    BatchCancelRequested,
    BatchPolled,
    BatchSubmissionRefused,
    BatchSubmissionReleased,
    BatchSubmissionUncertain,
    EventData,
)
from ledger.projections import BatchRow
from scheduler.concerns import concern
from scheduler.deadlines import alarm
from tests.support.fake_provider import OTHERS, OURS

NOW = datetime(2026, 11, 22, tzinfo=UTC)
KEPT = 29 * 86_400

POLLED = BatchPolled(next_poll_at=NOW)
UNCERTAIN = BatchSubmissionUncertain(reason="500", check_at=NOW)


def batch(status: str = "in_progress", **fields: Any) -> BatchRow:
    known: dict[str, Any] = {"created_at": to_micros(NOW), "account": msgspec.json.encode(OURS).decode()}
    return BatchRow("id", 1, 1, status, "anthropic", "v", "", 1, 1, 0, 1, **(known | fields))


def told(row: BatchRow, latest: EventData = POLLED, ours: Any = OURS) -> str | None:
    return concern(row, latest, NOW, KEPT, ours)


def test_a_batch_that_goes_its_way_is_none() -> None:
    assert told(batch()) is None
    assert told(batch(), ours=None) is None


@pytest.mark.parametrize("latest", [POLLED, BatchSubmissionRefused(reason="529", due_at=NOW)])
def test_one_that_goes_badly_is(latest: EventData) -> None:
    assert told(batch(note="no connection"), latest) == "no connection"


@pytest.mark.parametrize(
    "latest", [BatchCancelRequested(reason="by hand"), BatchSubmissionReleased(reason="it is not there")]
)
def test_what_was_meant_to_be_is_no_problem(latest: EventData) -> None:
    assert told(batch(note="by hand"), latest) is None


def test_one_that_is_done_is_none_whatever_it_was_like() -> None:
    row = batch("collected", note="3 lines are not of this batch")
    row.due_at = None
    assert told(row) is None


def test_one_of_another_account_is() -> None:
    assert "another account" in (told(batch(), ours=OTHERS) or "")


def test_one_that_is_uncertain_is_only_after_a_day() -> None:
    recent, old = (to_micros(NOW - timedelta(days=days)) for days in (0.9, 1.1))
    assert told(batch("uncertain", deadline=recent, created_at=None, note="500"), UNCERTAIN) is None
    said = told(batch("uncertain", deadline=old, created_at=None, note="500"), UNCERTAIN)
    assert said == "nobody knows whether the provider has it, for more than a day now: 500"


def test_one_that_runs_out_of_time_is_and_says_so_once() -> None:
    row = batch("ended", created_at=to_micros(NOW - timedelta(days=28.5)))
    said = alarm(row, NOW, KEPT)
    assert said is not None
    assert told(row) == said
    row.note = f"404; {said}"
    assert told(row) == row.note
