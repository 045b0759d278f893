"""Usage that LangChain's class of a provider does not sum up, but hands on: read into LangChain's own form.

Nothing is guessed. Counts that do not agree with each other, or are no counts, are left as LangChain has them.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from langchain_core.messages.ai import UsageMetadata

__all__ = ["from_counts", "with_cache_read"]

_READ = "cache_read"


def from_counts(counts: Mapping[str, Any]) -> UsageMetadata | None:
    """The usage that bare counts of tokens amount to, as Cohere's stream has them; None unless both are there."""
    read, written = _count(counts.get("input_tokens")), _count(counts.get("output_tokens"))
    if read is None or written is None:
        return None
    return UsageMetadata(input_tokens=read, output_tokens=written, total_tokens=read + written)


def with_cache_read(summed: UsageMetadata, reported: Mapping[str, Any] | None) -> UsageMetadata:
    """The usage, with what the provider says was read from a cache where LangChain leaves that out, as for Mistral.

    `reported` is the token usage in OpenAI's words, whose prompt includes what was cached.
    """
    details = summed.get("input_token_details") or {}
    if reported is None or any(name.endswith(_READ) for name in details):
        return summed
    told = reported.get("prompt_tokens_details")
    cached = _count(told.get("cached_tokens")) if isinstance(told, Mapping) else None
    if not cached or reported.get("prompt_tokens") != summed["input_tokens"] or cached > summed["input_tokens"]:
        return summed
    made: Any = {**summed, "input_token_details": {**details, _READ: cached}}
    return made  # type: ignore[no-any-return]


def _count(value: Any) -> int | None:
    """A number of tokens; some SDKs make a float of it."""
    if isinstance(value, bool) or not isinstance(value, int | float) or value < 0 or not float(value).is_integer():
        return None
    return int(value)
