"""The next step follows from the state and the instant alone."""

from __future__ import annotations

import pytest

from ledger.projections import BatchRow
from scheduler.machine import FAR, Step, next_step

DUE = 1_000_000


def batch(status: str, due_at: int | None = DUE) -> BatchRow:
    return BatchRow(
        id="b",
        seq=1,
        version=1,
        status=status,
        provider="anthropic",
        api_version="",
        betas="",
        request_count=1,
        size=1,
        planned_at=0,
        due_at=due_at,
    )


STEPS = {
    "planned": Step.SUBMIT,
    "submitting": Step.SUSPECT,
    "uncertain": Step.RECONCILE,
    "in_progress": Step.POLL,
    "canceling": Step.POLL,
    "ended": Step.COLLECT,
}


@pytest.mark.parametrize(("status", "step"), STEPS.items())
def test_each_status_has_one_step_when_it_is_due(status: str, step: Step) -> None:
    assert next_step(batch(status), DUE - 1) is Step.WAIT
    assert next_step(batch(status), DUE) is step
    assert next_step(batch(status), DUE + 1) is step


@pytest.mark.parametrize(("status", "step"), STEPS.items())
def test_an_instant_beyond_any_delay_is_that_of_a_clock_that_was_set_back(status: str, step: Step) -> None:
    assert next_step(batch(status), DUE - FAR) is Step.WAIT
    assert next_step(batch(status), DUE - FAR - 1) is step


@pytest.mark.parametrize("status", ["collected", "failed"])
def test_a_batch_that_is_over_has_none(status: str) -> None:
    assert next_step(batch(status, None), DUE) is Step.NONE
