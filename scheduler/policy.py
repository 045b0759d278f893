"""When to batch, when to ask, when to try again: numbers and the pure decisions over them."""

from __future__ import annotations

from typing import Final, Literal

import msgspec

__all__ = [
    "Policy",
    "Reason",
    "Waiting",
    "account_delay",
    "attempts_left",
    "batch_due",
    "poll_delay",
    "retry_delay",
]

Reason = Literal["count", "bytes", "age"]

_GROWTH: Final = 1.5
_JITTER: Final = 0.2
_MINUTE: Final = 60.0
_HOUR: Final = 3_600.0
_DAY: Final = 86_400.0


class Policy(msgspec.Struct, frozen=True, kw_only=True):
    """How the scheduler behaves. Times in seconds, sizes in bytes.

    A batch is made of waiting requests as soon as one of three holds: `max_requests` wait, `max_bytes` wait,
    or the oldest has waited `max_age_seconds` (the hybrid of count-based and time-based accumulation).

    An attempt that ended because the provider had no capacity does not count among `max_attempts`, up to
    `max_refusals` times. `call_deadline_seconds` is how long a standard call may take at most. The budgets are in
    pico-USD, for all time and for each UTC day; None is no bound.
    """

    max_requests: int = 10_000
    max_bytes: int = 250_000_000
    max_age_seconds: float = 30.0
    max_attempts: int = 3
    max_refusals: int = 10
    poll_min_seconds: float = 5.0
    poll_max_seconds: float = 120.0
    retry_min_seconds: float = 5.0
    retry_max_seconds: float = 300.0
    lease_seconds: float = 15.0
    submit_quiet_seconds: float = 300.0
    fallback_to_standard: bool = False
    call_deadline_seconds: float = 615.0
    budget_total: int | None = None
    budget_day: int | None = None


class Waiting(msgspec.Struct, frozen=True):
    """Requests that could travel together: how many, how large, for how long the oldest has waited."""

    count: int
    size: int
    oldest_age_seconds: float


def batch_due(waiting: Waiting, policy: Policy) -> Reason | None:
    """Why a batch should be made of them now; None while waiting longer may fill it."""
    if waiting.count >= policy.max_requests:
        return "count"
    if waiting.size >= policy.max_bytes:
        return "bytes"
    if waiting.count and waiting.oldest_age_seconds >= policy.max_age_seconds:
        return "age"
    return None


def poll_delay(polls: int, policy: Policy, random: float) -> float:
    """Seconds until the next poll: exponential, capped, spread by a fifth. `random` is in [0, 1)."""
    return _backoff(policy.poll_min_seconds, policy.poll_max_seconds, polls, random)


def retry_delay(attempt: int, policy: Policy, random: float, retry_after: float | None = None) -> float:
    """Seconds before attempt number `attempt` + 1; never less than the provider asked for, up to a day."""
    delay = _backoff(policy.retry_min_seconds, policy.retry_max_seconds, 2 * max(attempt - 1, 0), random)
    return max(delay, min(retry_after or 0.0, _DAY))


def account_delay(looks: int, random: float) -> float:
    """Seconds for which a worker leaves another account's batch alone, seen so often: from a minute up to an hour."""
    return _backoff(_MINUTE, _HOUR, looks, random)


def attempts_left(attempts: int, policy: Policy, refusals: int = 0) -> bool:
    """Whether a request that has been tried so often, in vain for lack of capacity `refusals` times, may be again."""
    return attempts - min(refusals, policy.max_refusals) < policy.max_attempts


def _backoff(least: float, most: float, step: int, random: float) -> float:
    # The exponent is capped before the power: a batch may be polled thousands of times.
    grown = min(most, least * _GROWTH ** min(step, 100))
    return grown * (1 - _JITTER * random)
