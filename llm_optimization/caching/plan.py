"""What is to be done to a prompt: the blocks that get a breakpoint, under the policy of a configuration."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Literal

import msgspec

from llm_optimization.caching.placement import Ttl, by_hand, by_rule, place
from llm_optimization.caching.positions import Turn, positions

__all__ = ["Plan", "Policy", "marked", "plan"]


class Policy(msgspec.Struct, frozen=True):
    """`auto` marks by rule and by hand, `manual` by hand only, `none` not at all.

    `minimum` is what the model caches at least, in tokens; None where that is not known.
    """

    breakpoints: Literal["auto", "manual", "none"]
    ttl: Ttl
    minimum: int | None = None


class Plan(msgspec.Struct, frozen=True):
    """`marks`: turn → block → lifetime. `below_minimum`: all that was worth a mark was too short to be cached."""

    marks: Mapping[int, Mapping[int, Ttl]] = {}
    markers: int = 0
    below_minimum: bool = False


def plan(
    turns: Sequence[Turn], cuts: Iterable[tuple[int, int]], policy: Policy, automatic: Ttl | None = None
) -> Plan:
    """The breakpoints that turns get. `cuts` are the places marked by hand: (turn, last block before the marker)."""
    if policy.breakpoints == "none":
        return Plan()
    found = positions(turns)
    wanted = by_hand(found, cuts)
    if policy.breakpoints == "auto":
        wanted += by_rule(turns, found)
    placement = place(found, wanted, ttl=policy.ttl, minimum=policy.minimum, automatic=automatic)
    marks: dict[int, dict[int, Ttl]] = {}
    for index, ttl in placement.marks:
        marks.setdefault(found[index].turn, {})[found[index].block] = ttl
    return Plan(marks, len(placement.marks), placement.below_minimum)


def marked(blocks: Sequence[Any], marks: Mapping[int, Ttl]) -> list[Any]:
    """The blocks, those that get a mark as copies that carry it. Five minutes are the provider's default and stay
    unsaid.
    """
    made = list(blocks)
    for at, ttl in marks.items():
        control = {"type": "ephemeral"} if ttl == "5m" else {"type": "ephemeral", "ttl": ttl}
        made[at] = {**made[at], "cache_control": control}
    return made
