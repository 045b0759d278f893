"""The circuit breaker over the provider's refusals and silences."""

from __future__ import annotations

import logging

import pytest

from ledger.errors import ProviderRefused, ProviderUnreachable
from scheduler.health import ProviderHealth
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
