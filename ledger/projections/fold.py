"""The inline projections: every event goes to the fold that knows its type, in log order."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any, Final, Protocol, TypeVar

import msgspec
from sqlalchemy import Connection, bindparam, select, update

from ledger import events as e
from ledger import schema
from ledger.backends import Database
from ledger.errors import DatabaseUnusable, LedgerCorrupt
from ledger.projections.batches import BatchFold
from ledger.projections.buckets import TagLimiter
from ledger.projections.outcomes import OutcomeRollup
from ledger.projections.prices import PriceKeys, adopt
from ledger.projections.requests import RequestFold
from ledger.projections.rows import Fact
from ledger.projections.usage import UsageFold
from ledger.projections.working_set import WorkingSet

__all__ = ["PROJECTIONS", "Folds", "check_versions", "fold", "portions", "position", "register"]

PROJECTIONS: Final = {"requests": 1, "batches": 1, "usage": 1}
"""Name → version; a release that folds differently raises the version, and `rebuild` is due."""

_MOVE_CHECKPOINTS: Final = update(schema.projections).values(position=bindparam("to"))

Handler = Callable[[Fact, Any], None]

_OPENING: Final = {e.RequestRecorded, e.BatchPlanned}
_CHANGING_A_BATCH: Final = {cls for name, cls in e.CATALOGUE.items() if name.startswith("batch.")} - _OPENING
_CHANGING_A_REQUEST: Final = {
    cls for name, cls in e.CATALOGUE.items() if name.startswith(("request.", "cache_usage."))
} - _OPENING
_COUNTING: Final = _CHANGING_A_REQUEST - {e.RequestBatched, e.RequestCallStarted}
_NAMING_A_BATCH: Final = {cls for cls in e.CATALOGUE.values() if "batch_id" in cls.__struct_fields__}


def register(database: Database, connection: Connection, at: int = 0) -> None:
    """Note down that the projections stand at a position (an empty ledger's: 0)."""
    rows = [(name, version, at, "current") for name, version in PROJECTIONS.items()]
    database.insert_missing(connection, schema.projections, rows)


def check_versions(connection: Connection) -> None:
    """See to it that the projections are as this release folds them.

    Raises `DatabaseUnusable` otherwise: two ways of folding must not take turns on one table.
    """
    for name, version in connection.execute(select(schema.projections.c.name, schema.projections.c.version)):
        known = PROJECTIONS.get(name, 0)
        if version < known:
            raise DatabaseUnusable(f"the projection {name!r} is an older release's; run `llm-ledger rebuild`")
        if version > known:
            raise DatabaseUnusable(f"the projection {name!r} is a newer release's; upgrade llm-ledger")


def position(connection: Connection) -> int:
    """The last event that the projections contain."""
    return min(connection.scalars(select(schema.projections.c.position)), default=0)


class Said(Protocol):
    """What can be told of an event before it has its place in the log."""

    @property
    def entity(self) -> str:
        """The stream id without its category."""
        ...

    @property
    def data(self) -> e.EventData:
        """The event's body."""
        ...


S = TypeVar("S", bound=Said)


def portions(events: Sequence[S], most: int) -> Iterator[Sequence[S]]:
    """Cut into pieces of at most `most` events, each of which may be folded at once.

    A piece ends where a price book is adopted: that moves what is stored, so all before it has to be.
    """
    start = 0
    for at, event in enumerate(events, start=1):
        if at - start == most or isinstance(event.data, e.PriceBookAdopted):
            yield events[start:at]
            start = at
    if start < len(events):
        yield events[start:]


def fold(database: Database, connection: Connection, facts: Sequence[Fact]) -> None:
    """Bring every projection from the fact before the first to the last, within the caller's transaction."""
    for portion in portions(facts, len(facts)):
        folds = Folds(database, connection, portion)
        for fact in portion:
            folds.apply(fact)
        folds.flush()


class Folds:
    """All folds over one portion of the log (see `portions`).

    Making one reads everything that the portion needs; `apply` decides, and touches no database, so that it can go
    on while the database is busy with something else; `flush` writes.
    """

    def __init__(self, database: Database, connection: Connection, events: Sequence[Said]) -> None:
        self._connection = connection
        self._rows = WorkingSet(database, connection)
        self._tags = TagLimiter(self._rows)
        self._prices = PriceKeys(self._rows)
        self._outcomes = OutcomeRollup(self._rows, self._tags)
        self._usage = UsageFold(self._rows, self._tags, self._prices, self._outcomes)
        self._handlers = self._route()
        self._adopted: list[tuple[Fact, e.PriceBookAdopted]] = []
        self._position = 0
        self._load(events)

    def _route(self) -> dict[type[e.EventData], Handler]:
        requests = RequestFold(self._rows, self._outcomes)
        batches = BatchFold(self._rows)
        return {
            e.RequestRecorded: requests.recorded,
            e.RequestBatched: requests.batched,
            e.RequestCallStarted: requests.call_started,
            e.RequestSucceeded: requests.succeeded,
            e.RequestFailed: requests.failed,
            e.RequestExpired: requests.expired,
            e.RequestCanceled: requests.canceled,
            e.RequestRetryScheduled: requests.retry_scheduled,
            e.RequestAbandoned: requests.abandoned,
            e.RequestCostUnknown: requests.cost_unknown,
            e.CacheUsageRecorded: self._usage.recorded,
            e.BatchPlanned: batches.planned,
            e.BatchSubmissionStarted: batches.submission_started,
            e.BatchSubmitted: batches.submitted,
            e.BatchSubmissionRefused: batches.submission_refused,
            e.BatchSubmissionUncertain: batches.submission_uncertain,
            e.BatchSubmissionReleased: batches.submission_released,
            e.BatchPolled: batches.polled,
            e.BatchEnded: batches.ended,
            e.BatchResultsCollected: batches.results_collected,
            e.BatchCancelRequested: batches.cancel_requested,
            e.BatchFailed: batches.failed,
            e.BatchDuplicateDetected: batches.duplicate_detected,
            e.PriceBookAdopted: self._adopt,
            e.ConfigChanged: _nothing,
            e.ConfigRejected: _nothing,
        }

    def _load(self, events: Sequence[Said]) -> None:
        rows = self._rows
        rows.load_requests(event.entity for event in events if event.data.__class__ in _CHANGING_A_REQUEST)
        batches = {event.entity for event in events if event.data.__class__ in _CHANGING_A_BATCH}
        naming: list[Any] = [event.data for event in events if event.data.__class__ in _NAMING_A_BATCH]
        batches.update(data.batch_id for data in naming)
        batches.update(row.batch_id for row in rows.requests.values() if row.batch_id)
        rows.load_batches(batch for batch in batches if batch)
        self._tags.load(self._counted_tags(events))
        self._prices.load({event.data.provider for event in events if isinstance(event.data, e.CacheUsageRecorded)})

    def _counted_tags(self, events: Sequence[Said]) -> Iterator[Mapping[str, str]]:
        recorded = {event.entity: event.data.tags for event in events if isinstance(event.data, e.RequestRecorded)}
        stored: set[str] = set()
        for entity in {event.entity for event in events if event.data.__class__ in _COUNTING}:
            if entity in recorded:
                yield recorded[entity]
            elif entity in self._rows.requests:
                stored.add(self._rows.requests[entity].tags)
        yield from map(msgspec.json.decode, stored)

    def apply(self, fact: Fact) -> None:
        """The next event of the portion, now in its place. Raises `LedgerCorrupt` if it cannot follow the log."""
        try:
            self._handlers[fact.data.__class__](fact, fact.data)
        except KeyError as missing:
            raise LedgerCorrupt(
                f"event {fact.position} ({fact.data.TYPE}) speaks of {missing}, which no event before it made"
            ) from missing
        self._position = fact.position

    def flush(self) -> None:
        """Write what the portion changed, and how far the projections are."""
        self._usage.flush()
        self._outcomes.flush()
        self._prices.flush()
        self._tags.flush()
        self._rows.flush()
        for fact, data in self._adopted:
            adopt(self._rows, fact, data)
        self._connection.execute(_MOVE_CHECKPOINTS, {"to": self._position})

    def _adopt(self, fact: Fact, data: e.PriceBookAdopted) -> None:
        self._adopted.append((fact, data))


def _nothing(_fact: Fact, _data: e.EventData) -> None:
    """Kept for the record; no projection needs it."""
