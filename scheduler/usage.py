"""Whether the usage that an answer tells can be priced. If not, its cost is unknown, never taken for nothing."""

from __future__ import annotations

from ledger.errors import UsageUnreadable
from ledger.events import Processing
from ledger.pricing import normalise_json

__all__ = ["unreadable"]


def unreadable(provider: str, model: str, processing: Processing, usage: bytes | None) -> str | None:
    """Why the usage object of an answer cannot be priced, None if it can."""
    if usage is None:
        return "the result carries no usage"
    try:
        normalise_json(provider=provider, model=model, processing=processing, usage=usage)
    except UsageUnreadable as error:
        return f"its usage cannot be read: {error}"
    return None
