"""Which params Anthropic would take in a batch, and what the ledger records about them."""

from __future__ import annotations

from typing import Any

from ledger.errors import InvalidRequest
from scheduler.providers.anthropic import shapes
from scheduler.providers.anthropic.blocks import prompt_blocks
from scheduler.providers.anthropic.facts import facts_of
from scheduler.providers.anthropic.limits import LIMITS, NAME
from scheduler.providers.base import RequestFacts

__all__ = ["AnthropicRules"]

_NOT_IN_BATCHES = {
    "speed": "is not available in batches; leave it out",
    "workspace_id": "is a header of the whole batch, not a field of a request; leave it out",
}


class AnthropicRules:
    """`RequestRules` for Anthropic: the SDK's own types, then the rules that types cannot say.

    What depends on bytes (sizes, duplicate keys, NaN) is checked where the bytes are.
    """

    name = NAME
    limits = LIMITS

    def check(self, params: dict[str, Any]) -> RequestFacts:
        """The facts of valid params. `InvalidRequest` names the innermost place that is wrong.

        `betas` in the params become `facts.betas`; they travel as a header, so the caller takes them out of the
        body. Models that nobody knows are allowed.
        """
        _refuse_what_batches_refuse(params)
        shapes.check(params)
        return facts_of(params, list(prompt_blocks(params)))


def _refuse_what_batches_refuse(params: dict[str, Any]) -> None:
    if not isinstance(params, dict):
        raise InvalidRequest("", "params must be an object")
    if params.get("stream"):
        raise InvalidRequest("stream", "a request of a batch cannot be streamed; leave it out")
    for name, reason in _NOT_IN_BATCHES.items():
        if name in params:
            raise InvalidRequest(name, f"{name} {reason}")
