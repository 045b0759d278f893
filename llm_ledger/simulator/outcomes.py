"""Accidents on order: requests that must fail, and how often.

A request asks for its own accident by `metadata.user_id` = `simulate:<kind>[_once][_in_batches]`, for example
`simulate:overloaded_once`. A rule orders accidents for items of batches from outside. "Once" counts per
params: the same bytes succeed the second time.
"""

from __future__ import annotations

import re
from typing import Any, Literal

import msgspec

from llm_ledger.simulator.chance import fraction
from llm_ledger.simulator.errors import ApiError

__all__ = ["ACCIDENTS", "Accident", "AccidentRule", "Accidents"]

Accident = Literal["overloaded", "api_error", "timeout", "rate_limit", "invalid", "expired"]

ACCIDENTS: dict[Accident, ApiError | None] = {
    "overloaded": ApiError(529, "Overloaded"),
    "api_error": ApiError(500, "Internal server error"),
    "timeout": ApiError(504, "Request timed out"),
    "rate_limit": ApiError(429, "This request would exceed your rate limit"),
    "invalid": ApiError(400, "This request was told to be invalid"),
    "expired": None,
}

_PREFIX = "simulate:"


class AccidentRule(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """Items of batches that fail. `fraction` of all params, and among those only custom ids in which the
    regular expression `custom_id` is found; `times` for each of them, 0 for always."""

    kind: Accident
    fraction: float = 1.0
    custom_id: str | None = None
    times: int = 1


class Accidents:
    """What was ordered, and what of it has happened."""

    def __init__(self, seed: int, rules: tuple[AccidentRule, ...] = ()) -> None:
        self._seed = seed
        self._rules = list(rules)
        self._happened: dict[tuple[object, ...], int] = {}

    def order(self, rule: AccidentRule) -> None:
        """Let a rule hold from now on. Earlier rules come first."""
        re.compile(rule.custom_id or "")
        self._rules.append(rule)

    def clear(self) -> None:
        """Forget the rules."""
        self._rules.clear()

    def of_call(self, account: str, params: dict[str, Any], digest: bytes) -> Accident | None:
        """The accident of a standard call; an expiry cannot happen to it."""
        kind = self._asked_for(account, params, digest, batch=False)
        return None if kind == "expired" else kind

    def of_item(self, account: str, custom_id: str, params: dict[str, Any], digest: bytes) -> Accident | None:
        """The accident of a batch item."""
        kind = self._asked_for(account, params, digest, batch=True)
        if kind is not None:
            return kind
        for index, rule in enumerate(self._rules):
            if rule.custom_id and not re.search(rule.custom_id, custom_id):
                continue
            if fraction(self._seed, "accident", index, digest.hex()) >= rule.fraction:
                continue
            if self._happens((account, index, digest), rule.times):
                return rule.kind
        return None

    def _asked_for(self, account: str, params: dict[str, Any], digest: bytes, *, batch: bool) -> Accident | None:
        metadata = params.get("metadata")
        wish = metadata.get("user_id") if isinstance(metadata, dict) else None
        if not isinstance(wish, str) or not wish.startswith(_PREFIX):
            return None
        wish = wish.removeprefix(_PREFIX)
        if wish.endswith("_in_batches") and not batch:
            return None
        wish = wish.removesuffix("_in_batches")
        times = 1 if wish.endswith("_once") else 0
        for kind in ACCIDENTS:
            if wish.removesuffix("_once") == kind and self._happens((account, wish, digest), times):
                return kind
        return None

    def _happens(self, what: tuple[object, ...], times: int) -> bool:
        if not times:
            return True
        before = self._happened.get(what, 0)
        self._happened[what] = before + 1
        return before < times
