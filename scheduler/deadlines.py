"""Until when results can be fetched. Pure: whoever asks brings the instant, of the provider's clock where it can."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Final

from ledger.clock import from_micros
from ledger.projections import BatchRow

__all__ = ["alarm", "expired", "kept_until"]

_WEEK: Final = timedelta(days=7)
_DAY: Final = timedelta(days=1)

_UNREAD: Final = frozenset({"in_progress", "canceling", "ended"})


def kept_until(batch: BatchRow, kept_seconds: int) -> datetime | None:
    """When the provider lets go of the batch's results; None as long as it is not known to have the batch."""
    return from_micros(batch.created_at) + timedelta(seconds=kept_seconds) if batch.created_at is not None else None


def expired(batch: BatchRow, provider_time: datetime | None, kept_seconds: int) -> bool:
    """Whether the results are older than the provider keeps them, by its own clock: ours may have jumped."""
    end = kept_until(batch, kept_seconds)
    return end is not None and provider_time is not None and provider_time >= end


def alarm(batch: BatchRow, now: datetime, kept_seconds: int) -> str | None:
    """What has to be said of results that are not fetched yet and soon will be gone; None while there is time.

    The text changes a week and a day before the end and then, so that every change of it is worth a line.
    """
    end = kept_until(batch, kept_seconds)
    if batch.status not in _UNREAD or end is None or now <= end - _WEEK:
        return None
    until = f"{end:%Y-%m-%d %H:%M} UTC"
    if now >= end:
        return f"its results were kept until {until}, and may be gone"
    left = "a day" if now > end - _DAY else "7 days"
    return f"its results are kept until {until}, less than {left} from now"
