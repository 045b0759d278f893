"""What can go wrong with a call to the provider: one of these, drawn."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from random import Random
from typing import NamedTuple

import msgspec

from ledger.errors import ProviderRefused, ProviderUnreachable
from scheduler.providers.base import (
    BatchStatus,
    BatchTooLarge,
    CapacityRefused,
    InvalidBatch,
    ItemResult,
    ResultsUnavailable,
    SubmissionUncertain,
)
from tests.support.fake_provider import Fate, Turn

__all__ = ["FATES", "Hands", "mischief"]

FATES: tuple[Fate, ...] = (
    "succeeded", "overloaded", "overloaded", "expired", "invalid", "canceled",
    "no_usage", "odd_usage", "torn_usage", "other_model",
)  # fmt: skip
"""How items end that do not simply succeed."""

_NO_ANSWER = SubmissionUncertain("no answer")
_BROKEN = ResultsUnavailable("broke off")


class Hands(NamedTuple):
    """What a fault does besides: the process dies; it sleeps, past its lease perhaps, while others go on."""

    die: Callable[[], object]
    sleep: Callable[[], object]


def mischief(call: str, random: Random, hands: Hands, *, twins: bool) -> Turn:
    """How a call goes wrong. `twins`: also in ways that leave two batches for one intent, whatever anybody does."""
    if twins and random.random() < 0.8:
        return random.choice(_twins(random, hands))
    return random.choice([*_anywhere(random, hands), *_OF_ONE.get(call, _nothing)(random, hands)])


def _anywhere(random: Random, hands: Hands) -> list[Turn]:
    return [
        Turn(refuse=ProviderUnreachable("no connection")),
        Turn(refuse=ProviderRefused("500: api_error", status=500, kind="api_error")),
        Turn(hook=hands.die),
        Turn(late=hands.die),
        Turn(hook=hands.sleep),
        Turn(late=hands.sleep),
    ]


def _nothing(_random: Random, _hands: Hands) -> list[Turn]:
    return []


def _create(random: Random, hands: Hands) -> list[Turn]:
    return [
        Turn(refuse=CapacityRefused("429", random.choice([None, 30.0]))),
        Turn(refuse=CapacityRefused("529")),
        Turn(refuse=BatchTooLarge("413")),
        Turn(refuse=InvalidBatch("400")),
        Turn(refuse=_NO_ANSWER),
        Turn(lose=_NO_ANSWER),
        Turn(lose=_NO_ANSWER),
        Turn(hook=hands.sleep, lose=_NO_ANSWER),
        Turn(late=hands.sleep, lose=_NO_ANSWER),
    ]


def _twins(random: Random, hands: Hands) -> list[Turn]:
    return [
        Turn(copies=2),
        Turn(copies=2, lose=_NO_ANSWER),
        Turn(refuse=_NO_ANSWER, commit_after=random.choice([5.0, 100.0, 1_000.0])),
        Turn(gap=hands.sleep),
        Turn(gap=hands.sleep, lose=_NO_ANSWER),
    ]


def _call(random: Random, _hands: Hands) -> list[Turn]:
    return [Turn(refuse=CapacityRefused("529")), Turn(refuse=_NO_ANSWER), Turn(lose=_NO_ANSWER)]


def _retrieve(_random: Random, _hands: Hands) -> list[Turn]:
    return [Turn(restate=_stale), Turn(restate=_miscounted)]


def _results(random: Random, _hands: Hands) -> list[Turn]:
    garbled = Turn(mangle=lambda lines: _garbled(lines, random))
    return [garbled, garbled, garbled, Turn(refuse=ResultsUnavailable("404: not there yet"))]


_OF_ONE = {"create": _create, "call": _call, "retrieve": _retrieve, "results": _results}


def _stale(status: BatchStatus) -> BatchStatus:
    """An answer from before the end."""
    return msgspec.structs.replace(
        status,
        state="in_progress",
        processing=status.total,
        succeeded=0,
        errored=0,
        canceled=0,
        expired=0,
        ended_at=None,
    )


def _miscounted(status: BatchStatus) -> BatchStatus:
    return msgspec.structs.replace(status, succeeded=status.succeeded + 1)


def _garbled(lines: list[ItemResult], random: Random) -> Iterable[ItemResult | Exception]:
    """Some lines, one of them again, somebody else's; then the end, a break, or all of them.

    Never somebody else's alone: nobody could tell such a file from a stranger's.
    """
    kept = lines[: random.randint(0, len(lines))]
    foreign = ItemResult(custom_id="theirs-0", kind="succeeded", body=b"{}", usage=b'{"output_tokens":9}')
    beyond = ItemResult(custom_id=lines[0].custom_id.rpartition("-")[0] + "-999", kind="expired", body=b"{}")
    others = [random.choice([foreign, beyond])] if kept else []
    ends: list[list[ItemResult | Exception]] = [[], [_BROKEN], [*lines]]
    return [*others, *kept, *kept[:1], *random.choice(ends)]
