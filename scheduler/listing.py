"""The provider's list of batches, and between which of the provider's times it was made."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime, timedelta
from itertools import chain, islice
from typing import Final

import msgspec

from scheduler.context import Context
from scheduler.providers.base import BatchStatus

__all__ = ["GRANULE", "Listing", "list_batches"]

GRANULE: Final = timedelta(seconds=2)
"""How far apart two instants of the provider's may be told that are one: `Date` counts whole seconds."""


class Listing(msgspec.Struct, frozen=True):
    """The newest batches, newest first, up to `end`, which is not among them; None if the list was read to its end.

    It was made after `asked_at`, so that whatever was visible then is in it, and before `provider_time`. Both are the
    provider's; None where it tells no time.
    """

    batches: tuple[BatchStatus, ...]
    end: BatchStatus | None
    asked_at: datetime | None
    provider_time: datetime | None


def list_batches(context: Context, ends: Callable[[BatchStatus], bool]) -> Listing:
    """List until a batch for which `ends` is true. Raises `ProviderError`, also for a list that breaks off."""
    provider = context.provider
    if provider.provider_time() is None:
        provider.newest_batch()  # whatever its answer, it tells the time
    asked_at = provider.provider_time()
    listing = iter(provider.list_newer(None))
    # What appears while later pages are read stands before the first one: only that one's time counts.
    first = list(islice(listing, 1))
    provider_time = provider.provider_time()
    batches: list[BatchStatus] = []
    for batch in chain(first, listing):
        if ends(batch):
            return Listing(tuple(batches), batch, asked_at, provider_time)
        batches.append(batch)
    return Listing(tuple(batches), None, asked_at, provider_time)
