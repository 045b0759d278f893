"""The inline projections: every event of a chunk goes to the fold that knows its type, in log order."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, Final

from sqlalchemy import Connection, select, update

from ledger import events as e
from ledger import schema
from ledger.backends import Database
from ledger.errors import LedgerCorrupt
from ledger.projections.batches import BatchFold
from ledger.projections.buckets import TagLimiter
from ledger.projections.outcomes import OutcomeRollup
from ledger.projections.prices import PriceKeys, adopt
from ledger.projections.requests import RequestFold
from ledger.projections.rows import Fact
from ledger.projections.usage import UsageFold
from ledger.projections.working_set import WorkingSet

__all__ = ["PROJECTIONS", "fold", "position", "register"]

PROJECTIONS: Final = {"requests": 1, "batches": 1, "usage": 1}
"""Name → version; a release that folds differently raises the version, and `rebuild` is due."""

Handler = Callable[[Fact, Any], None]

_OPENING: Final = {e.RequestRecorded, e.BatchPlanned}
_CHANGING_A_BATCH: Final = {cls for name, cls in e.CATALOGUE.items() if name.startswith("batch.")} - _OPENING
_CHANGING_A_REQUEST: Final = {
    cls for name, cls in e.CATALOGUE.items() if name.startswith(("request.", "cache_usage."))
} - _OPENING
_NAMING_A_BATCH: Final = {cls for cls in e.CATALOGUE.values() if "batch_id" in cls.__struct_fields__}


def register(database: Database, connection: Connection, at: int = 0) -> None:
    """Note down that the projections stand at a position (an empty ledger's: 0)."""
    rows = [(name, version, at, "current") for name, version in PROJECTIONS.items()]
    database.insert_missing(connection, schema.projections, rows)


def position(connection: Connection) -> int:
    """The last event that the projections contain."""
    return min(connection.scalars(select(schema.projections.c.position)), default=0)


def fold(database: Database, connection: Connection, facts: Sequence[Fact]) -> None:
    """Bring every projection from the fact before the first to the last, within the caller's transaction."""
    done = 0
    for at, fact in enumerate(facts):
        if isinstance(fact.data, e.PriceBookAdopted):  # moves what is stored, so that has to be all until here
            _fold_chunk(database, connection, facts[done:at])
            adopt(WorkingSet(database, connection), fact, fact.data)
            done = at + 1
    _fold_chunk(database, connection, facts[done:])
    connection.execute(update(schema.projections).values(position=facts[-1].position))


def _fold_chunk(database: Database, connection: Connection, facts: Sequence[Fact]) -> None:
    if facts:
        _Chunk(database, connection).fold(facts)


class _Chunk:
    """The folds over one working set, wired together."""

    def __init__(self, database: Database, connection: Connection) -> None:
        self._rows = WorkingSet(database, connection)
        self._tags = TagLimiter(self._rows)
        self._prices = PriceKeys(self._rows)
        self._outcomes = OutcomeRollup(self._rows, self._tags)
        self._usage = UsageFold(self._rows, self._tags, self._prices, self._outcomes)
        self._handlers = self._route()

    def _route(self) -> dict[type[e.EventData], Handler]:
        requests = RequestFold(self._rows, self._outcomes)
        batches = BatchFold(self._rows)
        return {
            e.RequestRecorded: requests.recorded,
            e.RequestBatched: requests.batched,
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
            e.ConfigChanged: _nothing,
            e.ConfigRejected: _nothing,
        }

    def fold(self, facts: Sequence[Fact]) -> None:
        self._load(facts)
        for fact in facts:
            try:
                self._handlers[type(fact.data)](fact, fact.data)
            except KeyError as missing:
                raise LedgerCorrupt(
                    f"event {fact.position} ({fact.data.TYPE}) speaks of {missing}, which no event before it made"
                ) from missing
        self._usage.flush()
        self._outcomes.flush()
        self._prices.flush()
        self._tags.flush()
        self._rows.flush()

    def _load(self, facts: Sequence[Fact]) -> None:
        self._rows.load_requests(fact.entity for fact in facts if fact.data.__class__ in _CHANGING_A_REQUEST)
        batches = {fact.entity for fact in facts if fact.data.__class__ in _CHANGING_A_BATCH}
        naming: list[Any] = [fact.data for fact in facts if fact.data.__class__ in _NAMING_A_BATCH]
        batches.update(data.batch_id for data in naming)
        batches.update(row.batch_id for row in self._rows.requests.values() if row.batch_id)
        self._rows.load_batches(batch for batch in batches if batch)


def _nothing(_fact: Fact, _data: e.EventData) -> None:
    """Kept for the record; no projection needs it."""
