"""The peer's application: one kind of aggregate, an event class per kind of event."""

from __future__ import annotations

from typing import Any, Self
from uuid import UUID

from eventsourcing.domain import Aggregate

__all__ = ["Stream"]


class Stream(Aggregate):
    """A request or a batch; it keeps no state beyond its version."""

    class Opened(Aggregate.Created):
        """What it began with: `request.recorded` or `batch.planned`."""

        data: dict[str, Any]

    class RequestBatched(Aggregate.Event):
        """`request.batched`."""

        data: dict[str, Any]

    class RequestSucceeded(Aggregate.Event):
        """`request.succeeded`."""

        data: dict[str, Any]

    class CacheUsageRecorded(Aggregate.Event):
        """`cache_usage.recorded`."""

        data: dict[str, Any]

    class BatchSubmitted(Aggregate.Event):
        """`batch.submitted`."""

        data: dict[str, Any]

    class BatchResultsCollected(Aggregate.Event):
        """`batch.results_collected`."""

        data: dict[str, Any]

    def __init__(self) -> None:
        """Nothing to keep."""

    @classmethod
    def open(cls, event: type[Any], stream: UUID, data: dict[str, Any]) -> Self:
        """A new one, under the id that it has with us."""
        return cls._create(event, id=stream, data=data)
