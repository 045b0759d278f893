"""The provider's batch objects and list pages, read strictly: what does not fit is an error, never a guess."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Annotated, Literal

import msgspec

from scheduler.providers.base import BatchStatus

__all__ = ["Page", "parse_batch", "parse_page"]

_Instant = Annotated[datetime, msgspec.Meta(tz=True)]
_Count = Annotated[int, msgspec.Meta(ge=0)]


class _Counts(msgspec.Struct):
    processing: _Count
    succeeded: _Count
    errored: _Count
    canceled: _Count
    expired: _Count


class _Batch(msgspec.Struct):
    id: Annotated[str, msgspec.Meta(min_length=1)]
    processing_status: Literal["in_progress", "canceling", "ended"]
    request_counts: _Counts
    created_at: _Instant
    expires_at: _Instant
    ended_at: _Instant | None = None
    results_url: str | None = None


class _List(msgspec.Struct):
    data: list[_Batch]
    has_more: bool


class Page(msgspec.Struct, frozen=True):
    """One page of the list, newest first."""

    batches: tuple[BatchStatus, ...]
    has_more: bool


def parse_batch(body: bytes) -> BatchStatus:
    """A batch object. `msgspec.MsgspecError` (or `UnicodeError`) if the body is not one."""
    return _status(msgspec.json.decode(body, type=_Batch))


def parse_page(body: bytes) -> Page:
    """A page of the list. `msgspec.MsgspecError` (or `UnicodeError`) if the body is not one."""
    page = msgspec.json.decode(body, type=_List)
    return Page(batches=tuple(map(_status, page.data)), has_more=page.has_more)


def _status(batch: _Batch) -> BatchStatus:
    return BatchStatus(
        id=batch.id,
        state=batch.processing_status,
        created_at=batch.created_at.astimezone(UTC),
        expires_at=batch.expires_at.astimezone(UTC),
        ended_at=batch.ended_at and batch.ended_at.astimezone(UTC),
        results_url=batch.results_url,
        **msgspec.structs.asdict(batch.request_counts),
    )
