"""What to do next with a batch. Pure: the same state at the same instant gives the same step."""

from __future__ import annotations

from enum import Enum
from typing import Final

from ledger.projections import BatchRow

__all__ = ["FAR", "Step", "next_step"]

FAR: Final = 2 * 86_400 * 1_000_000
"""Two days in microseconds. No step is put off and no lease lasts so long: an instant this far ahead was written by
a clock that has been set back since, and counts as past."""


class Step(Enum):
    """One step acts once and appends what happened."""

    SUBMIT = "submit"
    """Send it."""
    SUSPECT = "suspect"
    """Its sender is gone in the middle of sending: nobody knows whether the provider has it."""
    RECONCILE = "reconcile"
    """Look for it among the provider's batches."""
    POLL = "poll"
    """Ask how it is doing."""
    COLLECT = "collect"
    """Fetch its results."""
    WAIT = "wait"
    """Not yet."""
    NONE = "none"
    """Nothing, ever again."""


_BY_STATUS: Final = {
    "planned": Step.SUBMIT,
    "submitting": Step.SUSPECT,
    "uncertain": Step.RECONCILE,
    "in_progress": Step.POLL,
    "canceling": Step.POLL,
    "ended": Step.COLLECT,
}


def next_step(batch: BatchRow, now: int) -> Step:
    """The step that is due at `now` (microseconds).

    Whoever asks holds the batch's lease. So a batch found `submitting` was left by a sender that is gone; before
    its deadline that sender might still be about to send, and its intent is left alone.
    """
    if batch.due_at is None:
        return Step.NONE
    if now < batch.due_at <= now + FAR:
        return Step.WAIT
    return _BY_STATUS[batch.status]
