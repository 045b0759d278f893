"""Fold: what state each batch is in, and when its next step is due. This is the work queue."""

from __future__ import annotations

import msgspec

from ledger.clock import to_micros
from ledger.events import (
    BatchCancelRequested,
    BatchCounts,
    BatchDuplicateDetected,
    BatchEnded,
    BatchFailed,
    BatchPlanned,
    BatchPolled,
    BatchResultsCollected,
    BatchSubmissionRefused,
    BatchSubmissionReleased,
    BatchSubmissionStarted,
    BatchSubmissionUncertain,
    BatchSubmitted,
)
from ledger.projections.rows import BatchRow, Fact
from ledger.projections.working_set import WorkingSet

__all__ = ["BatchFold"]


class BatchFold:
    """Batch events → rows of `batches`."""

    def __init__(self, rows: WorkingSet) -> None:
        self._rows = rows

    def planned(self, fact: Fact, data: BatchPlanned) -> None:
        self._rows.add_batch(
            BatchRow(
                id=fact.entity,
                seq=fact.position,
                version=fact.version,
                status="planned",
                provider=data.provider,
                api_version=data.api_version,
                betas=",".join(data.betas),
                request_count=data.request_count,
                size=data.size,
                planned_at=fact.occurred_at,
                due_at=fact.occurred_at,
                twin_of=data.twin_of,
            )
        )

    def submission_started(self, fact: Fact, data: BatchSubmissionStarted) -> None:
        row = self._touch(fact, "submitting")
        row.submissions += 1
        row.nonce = data.nonce
        row.nonces = msgspec.json.encode([*msgspec.json.decode(row.nonces), data.nonce]).decode()
        row.deadline = row.due_at = to_micros(data.deadline)
        row.newest_before = data.newest_before
        row.account = bytes(data.account).decode()
        row.reserved = data.reserved
        row.note = None

    def submitted(self, fact: Fact, data: BatchSubmitted) -> None:
        row = self._touch(fact, "in_progress")
        row.nonce = data.nonce
        row.provider_batch_id = data.provider_batch_id
        row.created_at, row.expires_at = to_micros(data.created_at), to_micros(data.expires_at)
        row.due_at = to_micros(data.next_poll_at)
        row.note = None

    def submission_refused(self, fact: Fact, data: BatchSubmissionRefused) -> None:
        row = self._touch(fact, "planned")
        row.due_at, row.note = to_micros(data.due_at), data.reason
        row.reserved = None

    def submission_uncertain(self, fact: Fact, data: BatchSubmissionUncertain) -> None:
        row = self._touch(fact, "uncertain")
        row.due_at, row.note = to_micros(data.check_at), data.reason

    def submission_released(self, fact: Fact, data: BatchSubmissionReleased) -> None:
        row = self._touch(fact, "planned")
        row.due_at, row.note = fact.occurred_at, data.reason
        row.reserved = None

    def polled(self, fact: Fact, data: BatchPolled) -> None:
        row = self._touch(fact, None)
        row.polls += 1
        row.due_at, row.note = to_micros(data.next_poll_at), data.problem
        if data.counts is not None:
            row.counts = msgspec.json.encode(data.counts).decode()
        if bytes(data.account) != b"null":
            row.account = bytes(data.account).decode()
        if row.status == "in_progress" and data.state == "canceling":
            row.status = "canceling"

    def ended(self, fact: Fact, data: BatchEnded) -> None:
        row = self._touch(fact, "ended")
        row.ended_at = to_micros(data.ended_at)
        row.counts = msgspec.json.encode(data.counts).decode()
        row.due_at, row.note = fact.occurred_at, None

    def results_collected(self, fact: Fact, data: BatchResultsCollected) -> None:
        row = self._touch(fact, "collected")
        row.due_at = row.reserved = None
        row.note = _remark(row, data)

    def cancel_requested(self, fact: Fact, data: BatchCancelRequested) -> None:
        row = self._touch(fact, "canceling")
        row.due_at, row.note = fact.occurred_at, data.reason

    def failed(self, fact: Fact, data: BatchFailed) -> None:
        row = self._touch(fact, "failed")
        row.due_at, row.note = None, data.reason
        row.reserved = None

    def duplicate_detected(self, fact: Fact, data: BatchDuplicateDetected) -> None:
        self._touch(fact, None).note = f"the provider also holds {data.provider_batch_id}"

    def _touch(self, fact: Fact, status: str | None) -> BatchRow:
        row = self._rows.batches[fact.entity]
        row.version = fact.version
        row.status = status or row.status
        return row


def _remark(row: BatchRow, data: BatchResultsCollected) -> str | None:
    """What does not add up in a batch that is done, in one line; None if all of it does."""
    remarks = [f"{data.missing:,} of {row.request_count:,} items were given up as lost"] if data.missing else []
    if data.counts is not None:
        told = msgspec.json.decode(row.counts, type=BatchCounts) if row.counts is not None else data.counts
        if told != data.counts:
            remarks.append(f"the provider counted {_spelt(told)}, its results hold {_spelt(data.counts)}")
        remarks += [f"{data.foreign:,} lines are not of this batch"] if data.foreign else []
        remarks += [f"{data.repeated:,} lines stand there again"] if data.repeated else []
    return "; ".join(remarks) or None


def _spelt(counts: BatchCounts) -> str:
    return ", ".join(f"{count:,} {kind}" for kind, count in msgspec.structs.asdict(counts).items() if count) or "none"
