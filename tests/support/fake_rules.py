"""Request rules of a few lines."""

from __future__ import annotations

from typing import Any

from ledger.errors import InvalidRequest
from scheduler.providers.base import ProviderLimits, RequestFacts
from tests.support.fake_provider import MODEL


class FakeRules:
    """`RequestRules` that know a model, `max_tokens`, and a `version` and `betas` to travel under."""

    name = "anthropic"

    def __init__(self, max_bytes: int = 1_000_000) -> None:
        self.limits = ProviderLimits(max_items=1000, max_bytes=max_bytes, results_kept_seconds=29 * 86_400)

    def check(self, params: dict[str, Any]) -> RequestFacts:
        if not isinstance(params.get("max_tokens"), int):
            raise InvalidRequest("max_tokens", "must be a whole number")
        if params.get("refuse"):
            raise InvalidRequest("", "these are refused as a whole")
        return RequestFacts(
            model=params.get("model", MODEL),
            max_tokens=params["max_tokens"],
            api_version=params.get("version", "2026-10-01"),
            betas=tuple(sorted(params.get("betas", ()))),
        )
