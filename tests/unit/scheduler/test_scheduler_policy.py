"""When to batch, when to ask, when to try again."""

from __future__ import annotations

from itertools import pairwise

import pytest

from scheduler.policy import Policy, Waiting, attempts_left, batch_due, poll_delay, retry_delay

POLICY = Policy(
    max_requests=100,
    max_bytes=1_000,
    max_age_seconds=30.0,
    max_attempts=3,
    poll_min_seconds=5.0,
    poll_max_seconds=120.0,
    retry_min_seconds=4.0,
    retry_max_seconds=300.0,
)


@pytest.mark.parametrize(
    ("waiting", "reason"),
    [
        (Waiting(0, 0, 0.0), None),
        (Waiting(0, 0, 1e9), None),
        (Waiting(99, 999, 29.999), None),
        (Waiting(100, 0, 0.0), "count"),
        (Waiting(101, 0, 0.0), "count"),
        (Waiting(1, 1_000, 0.0), "bytes"),
        (Waiting(1, 1_001, 0.0), "bytes"),
        (Waiting(1, 0, 30.0), "age"),
        (Waiting(99, 999, 31.0), "age"),
        (Waiting(100, 1_000, 30.0), "count"),
        (Waiting(99, 1_000, 30.0), "bytes"),
    ],
)
def test_a_batch_is_due_by_count_bytes_or_age(waiting: Waiting, reason: str | None) -> None:
    assert batch_due(waiting, POLICY) == reason


def test_a_file_of_100_000_requests_of_the_usual_size_is_one_batch() -> None:
    size = 100_000 * 2_365
    assert batch_due(Waiting(99_999, size, 0.0), Policy(max_requests=100_000)) is None
    assert batch_due(Waiting(100_000, size, 0.0), Policy(max_requests=100_000)) == "count"


def test_polls_grow_apart_up_to_the_longest_delay() -> None:
    delays = [poll_delay(polls, POLICY, 0.0) for polls in range(12)]
    assert delays[:3] == [5.0, 7.5, 11.25]
    assert all(one < other or one == 120.0 for one, other in pairwise(delays))
    assert delays[-1] == 120.0
    assert poll_delay(1_000_000, POLICY, 0.0) == 120.0


def test_jitter_takes_off_up_to_a_fifth() -> None:
    assert poll_delay(0, POLICY, 0.5) == 4.5
    assert 4.0 < poll_delay(0, POLICY, 0.999999) < 4.001
    assert poll_delay(100, POLICY, 0.5) == 108.0


def test_retries_wait_longer_each_time() -> None:
    assert [retry_delay(attempt, POLICY, 0.0) for attempt in (0, 1, 2, 3)] == [4.0, 4.0, 9.0, 20.25]
    assert retry_delay(50, POLICY, 0.0) == 300.0


ASKED = [(None, 4.0), (0.0, 4.0), (1.0, 4.0), (60.0, 60.0), (86_400.0, 86_400.0), (1e9, 86_400.0)]


@pytest.mark.parametrize(("asked", "delay"), ASKED)
def test_a_retry_is_never_earlier_than_the_provider_asked_for_within_a_day(asked: float | None, delay: float) -> None:
    assert retry_delay(1, POLICY, 0.0, asked) == delay


@pytest.mark.parametrize(("attempts", "left"), [(0, True), (2, True), (3, False), (4, False)])
def test_attempts_end(attempts: int, left: bool) -> None:
    assert attempts_left(attempts, POLICY) is left
