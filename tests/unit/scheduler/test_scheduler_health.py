"""The circuit breaker over the provider's refusals and silences."""

from __future__ import annotations

import logging

import pytest

from ledger.errors import ProviderError, ProviderRefused, ProviderUnreachable
from scheduler.health import OPERATIONS, Operation, ProviderHealth
from scheduler.providers.base import CapacityRefused, CreateOutcome, SubmissionUncertain
from tests.support.manual_clock import ManualClock

SILENT = ProviderUnreachable("no answer")
REFUSED = ProviderRefused("401: wrong key", status=401, kind="authentication_error")


def test_a_healthy_provider_is_asked() -> None:
    health = ProviderHealth(ManualClock())
    assert (health.paused, health.refused, health.failing_for(), health.error) == (False, False, 0.0, None)


def test_the_pause_grows_up_to_half_a_minute() -> None:
    clock = ManualClock()
    health = ProviderHealth(clock)
    pauses = []
    for _ in range(7):
        health.failed(SILENT)
        pause = 0.0
        while health.paused:
            clock.advance(0.5)
            pause += 0.5
        pauses.append(pause)
    assert pauses == [1.0, 2.0, 4.0, 8.0, 16.0, 30.0, 30.0]
    assert health.failing_for() == sum(pauses)


def test_an_answer_ends_it_and_the_next_pause_is_short_again() -> None:
    clock = ManualClock()
    health = ProviderHealth(clock)
    for _ in range(4):
        health.failed(SILENT)
    health.answered()
    assert (health.paused, health.failing_for(), health.error) == (False, 0.0, None)
    health.failed(SILENT)
    clock.advance(1.0)
    assert not health.paused


def test_the_wall_clock_is_of_no_concern() -> None:
    clock = ManualClock()
    health = ProviderHealth(clock)
    health.failed(SILENT)
    clock.jump(40 * 86_400)
    assert health.paused
    assert health.failing_for() == 0.0


def test_a_refusal_is_told_from_silence() -> None:
    health = ProviderHealth(ManualClock())
    refused = [health.refused]
    for error in (SILENT, REFUSED, SILENT):
        health.failed(error)
        refused.append(health.refused)
    assert refused == [False, False, True, False]


def test_the_log_says_each_failure_once(caplog: pytest.LogCaptureFixture) -> None:
    health = ProviderHealth(ManualClock())
    with caplog.at_level(logging.INFO, "scheduler.health"):
        health.failed(SILENT)
        health.failed(ProviderUnreachable("no answer"))
        health.failed(REFUSED)
        health.answered()
        health.answered()
    assert caplog.messages == ["no answer", "401: wrong key", "the provider answers again"]


def test_the_same_failure_under_another_request_id_is_no_news(caplog: pytest.LogCaptureFixture) -> None:
    health = ProviderHealth(ManualClock())
    for number in (1, 2):
        health.failed(ProviderRefused(f"no (401, request req_01{number})", status=401, kind="authentication_error"))
    health.failed(ProviderRefused("no (403, request req_013)", status=403, kind="permission_error"))
    health.failed(ProviderUnreachable("no (403, request req_014)"))
    assert [message[-5:-1] for message in caplog.messages] == ["_011", "_013", "_014"]


def unanswered(cause: CreateOutcome) -> ProviderUnreachable:
    """How a step passes on that nothing came of it."""
    error = ProviderUnreachable(str(cause))
    error.__cause__ = cause
    return error


def allowed(health: ProviderHealth) -> set[Operation]:
    return set(OPERATIONS) - health.pausing()


@pytest.mark.parametrize("operation", OPERATIONS)
@pytest.mark.parametrize(
    "error",
    [
        unanswered(CapacityRefused("429")),
        unanswered(SubmissionUncertain("timeout")),
        ProviderRefused("400: unknown beta", status=400, kind="invalid_request_error"),
        ProviderRefused("404: no such batch", status=404, kind="not_found_error"),
    ],
)
def test_what_concerns_one_operation_pauses_that_one(operation: Operation, error: ProviderError) -> None:
    clock = ManualClock()
    health = ProviderHealth(clock)
    health.failed(error, operation)
    assert allowed(health) == set(OPERATIONS) - {operation}
    assert (health.paused, health.error) == (False, error)
    clock.advance(1.0)
    assert allowed(health) == set(OPERATIONS)


@pytest.mark.parametrize(
    "error", [SILENT, *(ProviderRefused("no", status=status, kind="") for status in (401, 402, 403))]
)
def test_what_concerns_the_provider_as_such_pauses_all(error: ProviderError) -> None:
    health = ProviderHealth(ManualClock())
    health.failed(error, "read")
    assert allowed(health) == set()
    health.answered("call")
    assert allowed(health) == set(OPERATIONS)


@pytest.mark.parametrize(("told", "pause"), [(None, 1.0), (0.0, 1.0), (7.5, 7.5), (1e9, 86_400.0)])
def test_it_pauses_for_as_long_as_it_was_told(told: float | None, pause: float) -> None:
    clock = ManualClock()
    health = ProviderHealth(clock)
    health.failed(unanswered(CapacityRefused("429", told)), "create")
    clock.advance(pause - 0.5)
    assert "create" in health.pausing()
    clock.advance(0.5)
    assert "create" not in health.pausing()


def test_an_answer_to_one_operation_says_nothing_of_another(caplog: pytest.LogCaptureFixture) -> None:
    health = ProviderHealth(ManualClock())
    health.failed(unanswered(CapacityRefused("429")), "create")
    with caplog.at_level(logging.INFO, "scheduler.health"):
        health.answered("read")
        assert allowed(health) == {"read", "call"}
        health.answered("create")
    assert health.error is None
    assert caplog.messages[-1:] == ["the provider answers again"]


def test_the_time_without_any_answer_is_counted_from_the_last_one() -> None:
    clock = ManualClock()
    health = ProviderHealth(clock)
    health.failed(unanswered(CapacityRefused("429")), "create")
    clock.advance(100)
    health.answered("read")
    clock.advance(5)
    assert health.failing_for() == 5.0


def test_after_a_pause_one_may_try_and_the_others_wait_for_the_outcome() -> None:
    clock = ManualClock()
    health = ProviderHealth(clock)
    assert [health.admits("create") for _ in range(3)] == [True, True, True]
    health.failed(SILENT, "create")
    assert not health.admits("create")
    clock.advance(1.0)
    assert [health.admits(operation) for operation in OPERATIONS] == [True, False, False]
    health.answered("create")
    assert [health.admits(operation) for operation in OPERATIONS] == [True, True, True]


def test_one_who_tries_and_never_comes_back_is_not_waited_for_for_ever() -> None:
    clock = ManualClock()
    health = ProviderHealth(clock)
    health.failed(SILENT, "create")
    clock.advance(1.0)
    assert health.admits("create")
    clock.advance(1.0)
    assert not health.admits("read")
    clock.advance(1.0)
    assert health.admits("read")


def test_the_next_failure_takes_the_place_of_one_that_is_over() -> None:
    health = ProviderHealth(ManualClock())
    health.failed(SILENT, "read")
    refused = unanswered(CapacityRefused("429"))
    health.failed(refused, "create")
    assert health.error is refused
    health.answered("create")
    assert health.error is None
