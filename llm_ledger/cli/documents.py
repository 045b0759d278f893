"""The JSON of requests, batches and events. Times are RFC 3339 UTC, money decimal strings of USD, tokens counts."""

from __future__ import annotations

from datetime import datetime
from typing import TYPE_CHECKING, Any

import msgspec

from ledger.clock import from_micros
from ledger.costs import Cost
from ledger.projections import BatchRow, RequestRow
from ledger.queries import StoredEvent

if TYPE_CHECKING:
    from scheduler.audit import Finding
    from scheduler.uncertain import Sought

__all__ = ["batch_document", "event_document", "finding_document", "request_document", "sought_document"]


def request_document(row: RequestRow, cost: Cost) -> dict[str, Any]:
    """One line of `requests --json`. `unpriced`: a part of what was billed has no price, so `cost` lacks it."""
    return {
        "id": row.id,
        "key": row.key,
        "custom_id": row.custom_id,
        "status": row.status,
        "provider": row.provider,
        "model": row.model,
        "response_model": row.response_model,
        "mode": row.mode,
        "attempts": row.attempts,
        "tags": _raw(row.tags),
        "batch_id": row.batch_id,
        "batch_index": row.batch_index,
        "tokens": cost.counts(),
        **cost.money(),
        "unpriced": cost.unpriced > 0,
        "error_type": row.error_type,
        "error_message": row.error_message,
        "recorded_at": _at(row.recorded_at),
        "due_at": _at(row.due_at),
        "finished_at": _at(row.finished_at),
    }


def batch_document(row: BatchRow) -> dict[str, Any]:
    """One line of `batches --json`. `counts` are the provider's, `settled` the items checked off here.

    `twin_of` is the batch that the provider carried out a second time, as this one.
    """
    return {
        "id": row.id,
        "provider": row.provider,
        "provider_batch_id": row.provider_batch_id,
        "status": row.status,
        "request_count": row.request_count,
        "settled": row.settled,
        "counts": _raw(row.counts),
        "size": row.size,
        "api_version": row.api_version,
        "betas": row.betas.split(",") if row.betas else [],
        "account": _raw(row.account),
        "submissions": row.submissions,
        "polls": row.polls,
        "planned_at": _at(row.planned_at),
        "created_at": _at(row.created_at),
        "expires_at": _at(row.expires_at),
        "ended_at": _at(row.ended_at),
        "next_step_at": _at(row.due_at),
        "note": row.note,
        "twin_of": row.twin_of,
    }


def event_document(event: StoredEvent) -> dict[str, Any]:
    """One line of `events --json`: `data` as it was written, `hash` in hex."""
    return msgspec.structs.asdict(event)


def finding_document(finding: Finding) -> dict[str, Any]:
    """One line of `reconcile --json`: a batch of the provider's, or one that the provider lacks."""
    return {
        "finding": finding.verdict,
        "provider_batch_id": finding.provider_batch_id,
        "batch_id": finding.batch_id,
        "items": finding.items,
        "expected": finding.expected,
        "created_at": finding.created_at,
        "done": finding.done,
    }


def sought_document(sought: Sought) -> dict[str, Any]:
    """The same for a batch whose submission nobody saw end: what the look for it came to."""
    return {
        "finding": sought.outcome,
        "provider_batch_id": sought.provider_batch_id,
        "batch_id": sought.batch_id,
        "items": sought.items if sought.provider_batch_id else None,
        "expected": sought.items,
        "created_at": None,
        "done": sought.why,
    }


def _at(micros: int | None) -> datetime | None:
    return from_micros(micros) if micros is not None else None


def _raw(text: str | None) -> msgspec.Raw | None:
    return msgspec.Raw(text.encode()) if text is not None else None
