"""What is recorded of a standard call once it is over."""

from __future__ import annotations

from datetime import datetime
from typing import Final
from uuid import UUID

import msgspec

from ledger import NewEvent
from ledger.errors import VersionConflict
from ledger.events import (
    CacheUsageRecorded,
    EventData,
    RequestAbandoned,
    RequestCostUnknown,
    RequestFailed,
    RequestSucceeded,
)
from ledger.ids import derive
from ledger.payloads import EncodedPayload, encode_payload
from ledger.projections import TERMINAL, RequestRow
from ledger.queries import find_request
from scheduler.context import Context, request_event
from scheduler.providers.base import ItemResult
from scheduler.usage import unreadable

__all__ = ["Answered", "abandoned", "record"]

UNCERTAIN: Final = "call_uncertain"
"""Error type of a request whose standard call nobody knows the outcome of."""


class Answered(msgspec.Struct, frozen=True):
    """An answer in hand: to which request, as it stood when it was called; by which intent; billed when."""

    request: RequestRow
    call_id: UUID
    result: ItemResult
    billed_at: datetime


def abandoned(context: Context, request: RequestRow, what: str) -> list[NewEvent]:
    """It may have been answered and paid, and is not repeated by itself."""
    reason = (
        f"{what}; it may have been answered and paid, and nobody can tell; `llm-ledger retry {request.id}` repeats it"
    )
    said: list[EventData] = [
        RequestFailed(error_type=UNCERTAIN, message=reason, retryable=True),
        RequestCostUnknown(reason=reason),
        RequestAbandoned(reason=reason, attempts=request.attempts),
    ]
    return [request_event(context, request, data, ahead=ahead) for ahead, data in enumerate(said, start=1)]


def record(context: Context, answer: Answered) -> None:
    """Put an answer on record, whatever has become of its request meanwhile. May be repeated.

    A request that was ended since, as if its caller had died, stays ended: what this answer used is recorded as that
    of a duplicate.
    """
    body = encode_payload(answer.result.body)
    request = answer.request
    while True:
        events = _events(context, answer, request, body)
        bodies = [body] if any(isinstance(event.data, RequestSucceeded | RequestFailed) for event in events) else []
        try:
            context.ledger.append(events, payloads=bodies)
        except VersionConflict:
            request = find_request(context.ledger, request.id)
        else:
            return


def _events(context: Context, answer: Answered, request: RequestRow, body: EncodedPayload) -> list[NewEvent]:
    late = request.version != answer.request.version
    said = _failure(answer, body) if answer.result.kind == "errored" else _success(answer, request, body)
    if late and (_goes_on_without(request) or answer.result.kind == "errored"):
        said = [data for data in said if isinstance(data, CacheUsageRecorded)]
    # Ids that follow from the call: an append that was stored, and not acknowledged, is known again.
    return [
        request_event(context, request, data, derive(answer.call_id, int(late), data.TYPE), ahead=ahead)
        for ahead, data in enumerate(said, start=1)
    ]


def _goes_on_without(request: RequestRow) -> bool:
    """Whether it has ended, or is in a batch by now that counts on it: there is no place for this answer any more."""
    return request.status in TERMINAL or request.status == "batched"


def _failure(answer: Answered, body: EncodedPayload) -> list[EventData]:
    result = answer.result
    failed = RequestFailed(
        error_type=result.error_type or "unknown",
        message=result.error_message or "",
        retryable=False,
        result=body.digest.hex(),
        size=body.size,
    )
    return [failed]


def _success(answer: Answered, request: RequestRow, body: EncodedPayload) -> list[EventData]:
    result = answer.result
    model = result.model or request.model
    succeeded = RequestSucceeded(
        model=model,
        result=body.digest.hex(),
        size=body.size,
        processing="standard",
        message_id=result.message_id,
        stop_reason=result.stop_reason,
    )
    if problem := unreadable(request.provider, model, "standard", result.usage):
        return [succeeded, RequestCostUnknown(reason=problem)]
    usage = CacheUsageRecorded(
        role="duplicate" if _goes_on_without(request) else "result",
        provider=request.provider,
        model=model,
        processing="standard",
        billed_at=answer.billed_at,
        usage=msgspec.Raw(result.usage or b"{}"),
    )
    return [succeeded, usage]
