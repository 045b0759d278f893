"""Fold: what state each request is in."""

from __future__ import annotations

from typing import Final

import msgspec

from ledger.clock import to_micros
from ledger.events import (
    RequestAbandoned,
    RequestBatched,
    RequestCallStarted,
    RequestCanceled,
    RequestCostUnknown,
    RequestExpired,
    RequestFailed,
    RequestRecorded,
    RequestRetryScheduled,
    RequestSucceeded,
)
from ledger.projections.outcomes import OutcomeRollup
from ledger.projections.rows import TERMINAL, Fact, RequestRow
from ledger.projections.working_set import WorkingSet

__all__ = ["RequestFold"]

PREFIX_WINDOW: Final = 40
"""Blocks kept of a prefix, up to its last breakpoint: a breakpoint looks back over 20 positions."""


class RequestFold:
    """Request events → rows of `requests`, checked-off batch items, outcome counts."""

    def __init__(self, rows: WorkingSet, outcomes: OutcomeRollup) -> None:
        self._rows = rows
        self._outcomes = outcomes

    def recorded(self, fact: Fact, data: RequestRecorded) -> None:
        self._rows.add_request(
            RequestRow(
                seq=fact.position,
                id=fact.entity,
                key=data.key,
                custom_id=data.custom_id,
                provider=data.provider,
                model=data.model,
                mode=data.mode,
                api_version=data.api_version,
                betas=",".join(data.betas),
                tags=msgspec.json.encode(data.tags, order="sorted").decode(),
                params_hash=bytes.fromhex(data.params_hash),
                payload=bytes.fromhex(data.payload or ""),
                size=data.size,
                max_tokens=data.max_tokens,
                estimated_input_tokens=data.estimated_input_tokens,
                markers=data.markers,
                prefix=_window(data) if data.markers else None,
                recorded_at=fact.recorded_at,
                version=fact.version,
                status="queued" if data.mode == "batch" else "called",
            )
        )

    def batched(self, fact: Fact, data: RequestBatched) -> None:
        row = self._touch(fact)
        if row.status in TERMINAL:
            return
        row.status = "batched"
        row.attempts = data.attempt
        row.batch_id, row.batch_index = data.batch_id, data.index
        row.due_at = None

    def call_started(self, fact: Fact, data: RequestCallStarted) -> None:
        row = self._touch(fact)
        if row.status not in TERMINAL:
            row.status = "calling"
            row.attempts = data.attempt
            # What comes of the call counts where it happens, not at the creation of the last batch.
            row.batch_id = row.batch_index = None
            row.due_at = to_micros(data.deadline)

    def succeeded(self, fact: Fact, data: RequestSucceeded) -> None:
        row = self._touch(fact)
        self._rows.settle(data.batch_id)
        if row.status not in TERMINAL:
            row.result = bytes.fromhex(data.result)
            row.response_model = data.model
            row.error_type = row.error_message = None
            self._finish(row, "succeeded", fact, data.batch_id)

    def failed(self, fact: Fact, data: RequestFailed) -> None:
        row = self._touch(fact)
        self._rows.settle(data.batch_id)
        if row.status in TERMINAL or _elsewhere(row, data.batch_id):
            return
        row.error_type, row.error_message = data.error_type, data.message
        row.result = bytes.fromhex(data.result) if data.result else None
        if data.retryable:
            row.status = "failed"
        else:
            self._finish(row, "errored", fact, data.batch_id)

    def expired(self, fact: Fact, data: RequestExpired) -> None:
        row = self._touch(fact)
        self._rows.settle(data.batch_id)
        if row.status not in TERMINAL and not _elsewhere(row, data.batch_id):
            row.status = "expired"
            row.error_type, row.error_message = "expired", "the batch expired before this item was processed"

    def canceled(self, fact: Fact, data: RequestCanceled) -> None:
        row = self._touch(fact)
        self._rows.settle(data.batch_id)
        if row.status not in TERMINAL and not _elsewhere(row, data.batch_id):
            self._finish(row, "canceled", fact, row.batch_id)

    def retry_scheduled(self, fact: Fact, data: RequestRetryScheduled) -> None:
        row = self._touch(fact)
        if row.status in TERMINAL:
            if row.status == "succeeded" or not data.by_hand:
                return
            self._outcomes.take_back(row, row.status, self._instant(row.finished_at or 0, row.batch_id))
            row.error_type = row.error_message = row.result = row.finished_at = None
        if data.by_hand:
            row.attempts = data.attempt - 1
        row.status = "queued" if data.processing == "batch" else "fallback"
        row.due_at = to_micros(data.due_at)

    def abandoned(self, fact: Fact, data: RequestAbandoned) -> None:
        row = self._touch(fact)
        if row.status not in TERMINAL:
            row.error_message = row.error_message or data.reason
            self._finish(row, "abandoned", fact, row.batch_id)

    def cost_unknown(self, fact: Fact, data: RequestCostUnknown) -> None:
        row = self._touch(fact)
        self._rows.settle(data.batch_id)
        self._outcomes.add(row, "cost_unknown", self._instant(fact.occurred_at, row.batch_id))

    def _touch(self, fact: Fact) -> RequestRow:
        row = self._rows.requests[fact.entity]
        row.version = fact.version
        return row

    def _finish(self, row: RequestRow, status: str, fact: Fact, batch_id: str | None) -> None:
        row.status = status
        row.finished_at = fact.occurred_at
        row.due_at = None
        self._outcomes.add(row, status, self._instant(fact.occurred_at, batch_id))

    def _instant(self, finished_at: int, batch_id: str | None) -> int:
        """Where in time an outcome counts: beside its cost, at the batch's creation, if a batch it was."""
        batch = self._rows.batches.get(batch_id or "")
        return (batch and batch.created_at) or finished_at


def _elsewhere(row: RequestRow, batch_id: str | None) -> bool:
    """True if the request has moved on to another batch, so that this outcome is a latecomer's."""
    return batch_id is not None and row.batch_id != batch_id


def _window(data: RequestRecorded) -> bytes | None:
    marked = [at for at, (_, _, is_marked) in enumerate(data.prefix) if is_marked]
    if not marked:
        return None
    chain = data.prefix[: marked[-1] + 1][-PREFIX_WINDOW:]
    return b"".join(bytes.fromhex(digest) for digest, _, _ in chain)
