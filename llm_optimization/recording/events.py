"""Which events tell of a finished call: what was asked, then how it ended, in one append.

How a call's outcome stands in the ledger:

    Answered, usage readable     request.succeeded, cache_usage.recorded
    Answered, usage unreadable   request.succeeded, request.cost_unknown
    Refused                      request.failed
    CostUnknown                  request.failed (`call_uncertain`), request.cost_unknown

The last one ends as `errored`: its caller got no answer, and nobody will repeat the call. That it may cost something
all the same is told once, beside it, as of the calls that the scheduler makes.
"""

from __future__ import annotations

from typing import Final
from uuid import UUID

import msgspec

from ledger import NewEvent
from ledger.events import (
    CacheUsageRecorded,
    EventData,
    RequestCostUnknown,
    RequestFailed,
    RequestRecorded,
    RequestSucceeded,
    request_stream,
)
from ledger.ids import derive
from llm_optimization.recording import storable
from llm_optimization.recording.calls import DEFAULT_KEY, Answered, CostUnknown, FinishedCall, Refused
from llm_optimization.recording.facts import Prompt, prompt_of
from llm_optimization.recording.notes import Note
from scheduler.call_outcome import UNCERTAIN
from scheduler.usage import unreadable

__all__ = ["call_events"]

NO_USAGE: Final = "the provider reported no usage"


def call_events(note: Note, request_id: UUID) -> list[NewEvent]:
    """The events of one call under a fresh id. They can be stored, whatever was noted."""
    call = note.call
    prompt = prompt_of(call.provider, note.body, is_params=call.params is not None)
    happened = storable.instant(call.finished_at)
    said = [_recorded(call, note.tags, prompt, request_id), *_outcome(note, prompt)]
    stream = request_stream(str(request_id))
    return [
        NewEvent(stream, version, data, derive(request_id, data.TYPE), happened, request_id)
        for version, data in enumerate(said, start=1)
    ]


def _recorded(call: FinishedCall, tags: dict[str, str], prompt: Prompt, request_id: UUID) -> RequestRecorded:
    facts = prompt.facts
    return RequestRecorded(
        key=storable.name(call.key, default=DEFAULT_KEY),
        custom_id=str(request_id),
        provider=_provider(call),
        model=_model(call, prompt),
        mode="standard",
        api_version=storable.name(call.api_version) or facts.api_version,
        params_hash=prompt.hash,
        payload=None,
        size=prompt.size,
        max_tokens=storable.count(facts.max_tokens),
        estimated_input_tokens=facts.estimated_input_tokens,
        betas=tuple(storable.name(beta) for beta in facts.betas),
        tags=storable.tags(tags),
        markers=facts.markers,
        prefix=facts.prefix,
    )


def _outcome(note: Note, prompt: Prompt) -> list[EventData]:
    match note.call.outcome:
        case Answered() as answer:
            return _answered(note, answer, prompt)
        case Refused(error_type, text, status):
            said = f"{storable.message(text)} (HTTP {status})" if status is not None else storable.message(text)
            kind = storable.name(error_type, default="unknown")
            return [RequestFailed(error_type=kind, message=said, retryable=False)]
        case CostUnknown(reason):
            reason = storable.message(reason)
            failed = RequestFailed(error_type=UNCERTAIN, message=reason, retryable=False)
            return [failed, RequestCostUnknown(reason=reason)]


def _answered(note: Note, answer: Answered, prompt: Prompt) -> list[EventData]:
    call = note.call
    model = storable.name(answer.model) or _model(call, prompt)
    succeeded = RequestSucceeded(
        model=model,
        result="",  # its body is kept nowhere
        size=0,
        processing="standard",
        message_id=storable.name(answer.message_id) or None,
        stop_reason=storable.name(answer.stop_reason) or None,
    )
    problem = unreadable(_provider(call), model, "standard", note.usage) if note.usage is not None else NO_USAGE
    if problem or note.usage is None:
        return [succeeded, RequestCostUnknown(reason=storable.message(problem))]
    usage = CacheUsageRecorded(
        role="result",
        provider=_provider(call),
        model=model,
        processing="standard",
        billed_at=storable.instant(call.finished_at),
        usage=msgspec.Raw(note.usage),
    )
    return [succeeded, usage]


def _provider(call: FinishedCall) -> str:
    return storable.name(call.provider, default="unknown")


def _model(call: FinishedCall, prompt: Prompt) -> str:
    return storable.name(call.model) or prompt.facts.model or "unknown"
