"""What somebody should look at: batches that run out of time, that nobody can go on with, or that go badly. Pure."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Final

from ledger.clock import from_micros
from ledger.events import BatchPolled, BatchSubmissionRefused, EventData
from ledger.projections import BatchRow
from scheduler.account import account_of
from scheduler.anomalies import joined
from scheduler.deadlines import alarm
from scheduler.providers.base import Account

__all__ = ["concern"]

_UNCERTAIN_FOR: Final = timedelta(days=1)


def concern(batch: BatchRow, latest: EventData, now: datetime, kept_seconds: int, ours: Account | None) -> str | None:
    """What is wrong with a batch that is not done, in one line; None if nothing is.

    `latest` is the last event of its stream, `ours` the account of the present key, None where there is none.
    """
    if batch.due_at is None:
        return None
    problem, told = _problem(batch, latest, ours), alarm(batch, now, kept_seconds)
    return joined(problem, _long_uncertain(batch, now), told if told not in (problem or "").split("; ") else None)


def _problem(batch: BatchRow, latest: EventData, ours: Account | None) -> str | None:
    """What went wrong last. To be uncertain for a while is no problem, nor is to be canceled on purpose."""
    went_wrong = isinstance(latest, (BatchPolled, BatchSubmissionRefused)) and batch.status != "uncertain"
    if went_wrong and batch.note is not None:
        return batch.note
    theirs = account_of(batch)
    if theirs is None or ours is None or theirs == ours:
        return None
    return (
        f"it belongs to another account ({theirs.base_url}, credential {theirs.credential[:8]}) than the present key"
    )


def _long_uncertain(batch: BatchRow, now: datetime) -> str | None:
    began = from_micros(batch.deadline or batch.planned_at)
    if batch.status != "uncertain" or now - began < _UNCERTAIN_FOR:
        return None
    return f"nobody knows whether the provider has it, for more than a day now: {batch.note or 'not looked for yet'}"
