"""The provider's batches against the ledger's, both ways; and what is done about each difference.

What is not known here is read, once it has ended, and told by the nonces in it: a batch that was looked for is
adopted, a second one for an intent of ours is recorded as its twin, a stranger's is left alone.
"""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Final, Literal

import msgspec
from sqlalchemy import func, or_, select

from ledger import schema
from ledger.clock import from_micros, to_micros
from ledger.codec import decode_data
from ledger.errors import ProviderError, VersionConflict
from ledger.events import BatchCounts, BatchSubmissionStarted, batch_stream
from ledger.projections import BatchRow
from ledger.queries import batch as read_batch
from scheduler.account import account_of
from scheduler.context import Context
from scheduler.listing import GRANULE, Listing, list_batches
from scheduler.proof import read_proof
from scheduler.providers.base import Account, BatchStatus
from scheduler.reconcile import adopt
from scheduler.twins import record_twin

__all__ = ["AuditReport", "Finding", "Verdict", "audit"]

Verdict = Literal["matched", "differs", "adopted", "twin", "candidate", "undecided", "stranger", "missing"]

_LONGEST_BACK: Final = timedelta(days=30)
_KEPT: Final = timedelta(days=29)
_MARGIN: Final = timedelta(hours=1)
_FAILURES: Final = 3
"""So many batches may be unreadable in one audit, before it is the provider that does not answer."""

_NOTHING: Final = "nothing to do"


class Finding(msgspec.Struct, frozen=True, kw_only=True):
    """One batch of the provider's, of the ledger's, or of both.

    `verdict`:

        matched    known here, and the same
        differs    known here, with other counts
        adopted    was looked for, and is proven to be the one
        twin       proven to be a second one for an intent of ours; recorded
        candidate  may be a batch whose submission nobody saw end
        undecided  unknown here, and not to be told before it has ended and was read
        stranger   nobody's in this ledger
        missing    known here, but not in the provider's list

    `batch_id` is ours, where one is meant. `items` is the provider's count, `expected` ours. `done` says what was
    done about it.
    """

    verdict: Verdict
    provider_batch_id: str
    batch_id: str | None
    items: int | None
    expected: int | None
    created_at: datetime
    done: str


class AuditReport(msgspec.Struct, frozen=True, kw_only=True):
    """Everything that was compared, the provider's newest batch first; what the provider lacks comes last."""

    entries: tuple[Finding, ...]

    @property
    def matched(self) -> int:
        """How many batches are the same here and there."""
        return sum(1 for entry in self.entries if entry.verdict == "matched")

    @property
    def findings(self) -> tuple[Finding, ...]:
        """All others."""
        return tuple(entry for entry in self.entries if entry.verdict != "matched")


def audit(context: Context, *, most_readings: int | None = None) -> AuditReport:
    """Compare what the present account holds, back to this ledger's first submission, at most 30 days.

    Results of batches that are unknown here are read only where the number of items allows them to be ours, and twice
    per process; of at most `most_readings` in one audit, the newest first. Raises `ProviderError`, and
    `ConfigurationError` without a key.
    """
    ours = context.provider.account()
    first = _first_submission(context)
    if first is None:
        return AuditReport(entries=())

    def since() -> datetime:
        return max(first, _provider_now(context) - _LONGEST_BACK)

    listing = list_batches(context, lambda one: one.created_at < since())
    # Read after the list: whatever was submitted meanwhile is known here, if not yet listed there.
    known = _Known(context, since() - _MARGIN)
    unknown = _Unknown(context, known, most_readings)
    entries = [
        unknown.tell(one) if (row := known.by_id.get(one.id)) is None else _compare(one, row)
        for one in listing.batches
    ]
    return AuditReport(entries=(*entries, *_missing(context, known, listing, since(), ours)))


def _first_submission(context: Context) -> datetime | None:
    """The provider's time of the first submission, whatever the account; None if there was none.

    A batch that was given up under one account and sent under another is, by now, the other's: what comes late to
    the first is known by no account on record. The first instant of all if the provider's time is not on record.
    """
    column, event = schema.batches.c, schema.events.c
    sent = select(column.id).where(column.provider == context.provider.name, column.submissions > 0).limit(1)
    # In the order of the log, not of the batches: one that was planned first may have been sent last.
    intents = (
        select(event.type, event.schema_version, event.data)
        .join_from(
            schema.events, schema.batches, column.id == func.substr(event.stream_id, len(batch_stream("")) + 1)
        )
        .where(event.type == BatchSubmissionStarted.TYPE, column.provider == context.provider.name)
        .order_by(event.position)
        .limit(1)
    )
    with context.ledger.read() as connection:
        stored = connection.execute(intents).first() if connection.execute(sent).first() is not None else None
    first = decode_data(*stored) if stored is not None else None
    if not isinstance(first, BatchSubmissionStarted):
        return None
    return first.noted_at - GRANULE if first.noted_at is not None else datetime.min.replace(tzinfo=UTC)


def _provider_now(context: Context) -> datetime:
    return context.provider.provider_time() or context.now()


class _Known:
    """The ledger's batches of a time: by the provider's id, by nonce, and by their number of items."""

    def __init__(self, context: Context, since: datetime) -> None:
        column = schema.batches.c
        recent = or_(column.created_at.is_(None), column.created_at >= to_micros(since))
        query = select(schema.batches).where(column.provider == context.provider.name, recent)
        with context.ledger.read() as connection:
            rows = [BatchRow(*row) for row in connection.execute(query)]
        intended = [row for row in rows if row.submissions and row.twin_of is None]
        self.by_id = {row.provider_batch_id: row for row in rows if row.provider_batch_id is not None}
        self.by_nonce = {nonce: row for row in intended for nonce in msgspec.json.decode(row.nonces)}
        self.sizes = {row.request_count for row in intended}
        self.looked_for = {row.request_count: row for row in intended if row.status in ("submitting", "uncertain")}


class _Unknown:
    """Tells what batches are that the ledger does not know."""

    def __init__(self, context: Context, known: _Known, most_readings: int | None) -> None:
        self._context = context
        self._known = known
        self._readings_left = most_readings
        self._failed = 0

    def tell(self, one: BatchStatus) -> Finding:
        if one.total not in self._known.sizes:
            return _finding("stranger", one, None, "left alone: no batch of this ledger has as many items")
        if one.state != "ended":
            return self._open(one, "its results will tell whose it is")
        if self._readings_left is not None and one.id not in self._context.proven:
            if self._readings_left <= 0:
                return self._open(one, "read by a later audit")
            self._readings_left -= 1
        try:
            proof = read_proof(self._context, one)
        except ProviderError as error:
            self._failed += 1
            if self._failed > _FAILURES:
                raise
            return self._open(one, f"its results cannot be read: {error}")
        if named := proof.nonces & self._known.by_nonce.keys():
            return self._ours(one, min(named))
        if not proof.whole:
            return self._open(one, "its results cannot be read yet")
        return _finding("stranger", one, None, "left alone: its results name nobody of this ledger")

    def _open(self, one: BatchStatus, done: str) -> Finding:
        looked_for = self._known.looked_for.get(one.total)
        return _finding("undecided" if looked_for is None else "candidate", one, looked_for, done)

    def _ours(self, one: BatchStatus, nonce: str) -> Finding:
        while True:
            row = read_batch(self._context.ledger, self._known.by_nonce[nonce].id)
            if row.status == "submitting":
                return _finding("candidate", one, row, "left to its sender, who may still be told")
            if row.status not in ("planned", "uncertain"):
                twin = record_twin(self._context, row, one, nonce)
                return _finding("twin", one, row, f"recorded as {twin}" if twin != row.id else "adopted meanwhile")
            try:
                adopt(self._context, row, one, nonce)
            except VersionConflict:
                continue
            return _finding("adopted", one, row, "its results are collected")


def _compare(one: BatchStatus, row: BatchRow) -> Finding:
    """Counts of a batch that is known on both sides."""
    counted = msgspec.json.decode(row.counts or "{}", type=BatchCounts)
    if one.total != row.request_count:
        return _finding("differs", one, row, f"the provider counts {one.total} items, {row.request_count} were sent")
    if row.status in ("ended", "collected") and one.state == "ended" and counted != one.counts:
        return _finding("differs", one, row, f"when it ended the provider counted {_spelt(counted)}")
    if row.twin_of is None and row.status == "collected" and row.settled != row.request_count:
        return _finding("differs", one, row, f"its results told of {row.settled} items")
    return _finding("matched", one, row, _NOTHING)


def _missing(context: Context, known: _Known, listing: Listing, since: datetime, ours: Account) -> list[Finding]:
    """Batches that the list should hold: those whose results are still kept, and that are not too new to be seen."""
    listed = {one.id for one in listing.batches}
    now = listing.provider_time or context.now()
    until = now - timedelta(seconds=context.policy().submit_quiet_seconds)
    found = []
    for row in known.by_id.values():
        created_at = from_micros(row.created_at or 0)
        if row.provider_batch_id in listed or not max(since, now - _KEPT) <= created_at <= until:
            continue
        if account_of(row) == ours:
            done = "its results are here" if row.status == "collected" else "its results are asked for all the same"
            found.append(
                Finding(
                    verdict="missing",
                    provider_batch_id=row.provider_batch_id or "",
                    batch_id=row.id,
                    items=None,
                    expected=row.request_count,
                    created_at=created_at,
                    done=done,
                )
            )
    return found


def _finding(verdict: Verdict, one: BatchStatus, row: BatchRow | None, done: str) -> Finding:
    return Finding(
        verdict=verdict,
        provider_batch_id=one.id,
        batch_id=row.id if row is not None else None,
        items=one.total,
        expected=row.request_count if row is not None else None,
        created_at=one.created_at,
        done=done,
    )


def _spelt(counts: BatchCounts) -> str:
    told = [f"{number} {name}" for name, number in msgspec.structs.asdict(counts).items() if number]
    return ", ".join(told) or "nothing"
