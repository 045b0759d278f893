"""What Anthropic takes in one batch, and for how long it keeps the results.

Source: the Message Batches documentation as of November 2026.
"""

from __future__ import annotations

from scheduler.providers.anthropic.body import framed_size
from scheduler.providers.base import ProviderLimits

__all__ = ["LIMITS", "NAME"]

NAME = "anthropic"

_MAX_ITEMS = 100_000
_MAX_BODY_BYTES = 256_000_000

# The framing of the fullest batch is set aside, so that items within the limits always make a body within it.
LIMITS = ProviderLimits(
    max_items=_MAX_ITEMS,
    max_bytes=_MAX_BODY_BYTES - framed_size(0, _MAX_ITEMS),
    results_kept_seconds=29 * 24 * 60 * 60,
)
