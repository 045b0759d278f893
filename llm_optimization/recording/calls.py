"""One standard call that is over: what was asked of whom, and how it ended."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any, Final

import msgspec

__all__ = ["DEFAULT_KEY", "Answered", "CostUnknown", "FinishedCall", "Outcome", "Refused"]

DEFAULT_KEY: Final = "calls"
"""The namespace of recorded calls, unless their application names another."""


class Answered(msgspec.Struct, frozen=True):
    """The provider answered.

    `usage` is Anthropic's own usage object as the API gave it, and for everybody else the envelope
    `{"usage_metadata": <LangChain's UsageMetadata>, "reported": <raw token usage, if any>}`. None: the provider
    reported nothing, and nobody knows what the answer cost.
    """

    model: str
    message_id: str | None = None
    stop_reason: str | None = None
    usage: Mapping[str, Any] | None = None


class Refused(msgspec.Struct, frozen=True):
    """The provider did not answer, and billed nothing. `status` is the HTTP status, where there was one."""

    error_type: str
    message: str
    status: int | None = None


class CostUnknown(msgspec.Struct, frozen=True):
    """It may have been answered and billed, and nobody can tell: a lost reply, a stream not read to its end."""

    reason: str


Outcome = Answered | Refused | CostUnknown


class FinishedCall(msgspec.Struct, frozen=True, kw_only=True):
    """A call to `provider` (canonical name) for `model`, over at `finished_at`: the price instant of its usage.

    `params` are the wire params as they were sent; `messages` stand in for them (for size and hash only) where a
    provider's are not at hand. Nothing of a prompt is recorded but its size, its hashes and estimates.
    Whoever makes it may change what it refers to as soon as `CallRecorder.record` has returned.
    """

    provider: str
    model: str
    outcome: Outcome
    finished_at: datetime
    params: Mapping[str, Any] | None = None
    messages: Sequence[Any] | None = None
    api_version: str = ""
    tags: Mapping[str, str] = {}
    key: str = DEFAULT_KEY
