"""What Anthropic takes in one batch, for how long it keeps the results, and what it caches.

Source: the documentation of Message Batches and of prompt caching as of November 2026.
"""

from __future__ import annotations

from typing import Final

from ledger.pricing.usage import undated
from scheduler.providers.anthropic.body import framed_size
from scheduler.providers.base import ProviderLimits

__all__ = ["LIMITS", "LOOKBACK", "MOST_BREAKPOINTS", "NAME", "cacheable_minimum"]

NAME = "anthropic"

_MAX_ITEMS = 100_000
_MAX_BODY_BYTES = 256_000_000

# The framing of the fullest batch is set aside, so that items within the limits always make a body within it.
LIMITS = ProviderLimits(
    max_items=_MAX_ITEMS,
    max_bytes=_MAX_BODY_BYTES - framed_size(0, _MAX_ITEMS),
    results_kept_seconds=29 * 24 * 60 * 60,
)

MOST_BREAKPOINTS: Final = 4
"""Cache breakpoints in one request, the automatic one included."""

LOOKBACK: Final = 20
"""Positions, its own included, over which a breakpoint looks back for an entry that an earlier request wrote."""

_MINIMUMS: Final = {
    "claude-fable-5": 512,
    "claude-mythos-5": 512,
    "claude-opus-5-5": 512,
    "claude-opus-5": 512,
    "claude-opus-4-8": 1_024,
    "claude-opus-4-7": 2_048,
    "claude-opus-4-6": 4_096,
    "claude-opus-4-5": 4_096,
    "claude-opus-4-1": 1_024,
    "claude-opus-4": 1_024,
    "claude-sonnet-5": 1_024,
    "claude-sonnet-4-6": 1_024,
    "claude-sonnet-4-5": 1_024,
    "claude-sonnet-4": 1_024,
    "claude-3-7-sonnet": 1_024,
    "claude-3-5-sonnet": 1_024,
    "claude-haiku-4-5": 4_096,
}


def cacheable_minimum(model: str) -> int | None:
    """Tokens that a prefix needs at least to be cached; None where it is not documented.

    Shorter prefixes are not cached, without a word. Dated and `-latest` ids count as their model.
    """
    return _MINIMUMS.get(undated(model))
