"""Step: a standard call, the last resort of a request whose attempts in batches are exhausted.

A call cannot be looked for afterwards. So the intent is on record before it, and nobody makes it twice: where its
outcome is not known, it may have been answered and paid, and only a person decides whether to ask again.

Requests have no leases: whoever appends the intent has the request, and who comes second finds another version.
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Collection, Sequence
from contextlib import suppress
from typing import Any, Final, Literal, cast
from uuid import UUID

import msgspec
from sqlalchemy import bindparam, literal_column, or_, select

from ledger import NewEvent, schema
from ledger.clock import to_micros
from ledger.errors import DatabaseUnavailable, LedgerError, ProviderUnreachable, VersionConflict
from ledger.events import RequestCallStarted, RequestRetryScheduled, request_stream
from ledger.projections import RequestRow
from ledger.queries import find_request
from scheduler.budget import call_guard
from scheduler.call_outcome import Answered, abandoned, record
from scheduler.context import Context, request_event
from scheduler.machine import FAR
from scheduler.policy import retry_delay
from scheduler.providers.base import CapacityRefused, ItemResult, SubmissionUncertain
from scheduler.retry import CAPACITY_ERRORS

__all__ = ["Calls", "Standing"]

_log = logging.getLogger(__name__)

Standing = Literal["fallback", "calling"]
"""Statuses of a request that is to be called: it waits for it; somebody is about it, or died of it."""

_LOOK: Final = 16

_REQUEST: Final = schema.requests.c
_STATE: Final = schema.request_states.c
_DUE: Final = (
    select(_REQUEST.id, _STATE.status)
    .join_from(schema.request_states, schema.requests, _STATE.seq == _REQUEST.seq)
    .where(
        _STATE.status.in_([literal_column("'fallback'"), literal_column("'calling'")]),
        _STATE.status.in_(bindparam("standing", expanding=True)),
        or_(_STATE.due_at <= bindparam("now"), _STATE.due_at > bindparam("far")),
        _REQUEST.provider == bindparam("provider"),
        _REQUEST.id.not_in(bindparam("but", expanding=True)),
    )
    .order_by(_STATE.seq)
    .limit(literal_column(str(_LOOK)))  # written out: SQLite plans a statement anew for every bound limit
)
_DUE_OF_KEYS: Final = _DUE.where(_REQUEST.key.in_(bindparam("keys", expanding=True)))


class _Late(LedgerError):
    """Too much time has passed since the intent; nothing was sent."""

    def __init__(self) -> None:
        super().__init__("the process stood still between the intent and the call; nothing was sent")


class Calls:
    """The standard calls of one worker. Thread-safe."""

    def __init__(self, context: Context) -> None:
        self._context = context
        self._lock = threading.Lock()
        self._mine: dict[str, Answered | None] = {}
        """Requests about which this worker is, and answers that could not be recorded when they came."""

    def due(self, standing: Collection[Standing], but: Collection[str] = ()) -> list[tuple[str, Standing]]:
        """Requests to call, or to give up because who called them is gone; oldest first, not those of this worker."""
        with self._lock:
            but = [*but, *self._mine]
        place: dict[str, Any] = {
            "standing": list(standing),
            "now": to_micros(self._context.now()),
            "far": to_micros(self._context.now()) + FAR,
            "provider": self._context.provider.name,
            "but": but,
        }
        query = _DUE
        if self._context.keys is not None:
            query, place["keys"] = _DUE_OF_KEYS, list(self._context.keys())
        with self._context.ledger.read() as connection:
            return [(request_id, cast(Standing, status)) for request_id, status in connection.execute(query, place)]

    def make(self, request_id: str) -> bool:
        """Call once. Returns whether the provider answered; False if somebody else took the request.

        Raises `ProviderError` after recording it, so that the worker can hold its fire, and `BudgetHold`. An answer
        that cannot be recorded, because the database is away, is kept for `record_answer`.
        """
        with self._lock:
            if request_id in self._mine:
                return False
            self._mine[request_id] = None
        answer: Answered | None = None
        try:
            claimed = self._claim(request_id)
            answer = claimed and self._call(*claimed)
        finally:
            self._keep(request_id, answer)
        return answer is not None

    def record_answer(self) -> bool:
        """Record one that could not be recorded when it came. False if there is none."""
        with self._lock:
            found = next(((name, answer) for name, answer in self._mine.items() if answer is not None), None)
            if found is not None:
                self._mine[found[0]] = None
        if found is None:
            return False
        self._keep(*found)
        return True

    def give_up(self, request_id: str) -> None:
        """End a request whose caller is gone: nobody knows how its call went."""
        request = find_request(self._context.ledger, request_id)
        if request.status == "calling":
            with suppress(VersionConflict):
                self._context.ledger.append(abandoned(self._context, request, "its caller ended while calling"))

    def _claim(self, request_id: str) -> tuple[RequestRow, UUID] | None:
        """The request as it stands once the intent is on record, and the id of that event. None if it is taken."""
        context, policy = self._context, self._context.policy()
        request = find_request(context.ledger, request_id)
        if request.status != "fallback":
            return None
        data = RequestCallStarted(
            attempt=self._attempt(request),
            deadline=context.after(policy.call_deadline_seconds),
            account=msgspec.Raw(msgspec.json.encode(context.provider.account())),
        )
        intent = request_event(context, request, data)
        try:
            context.ledger.append([intent], guard=call_guard(context, request))
        except VersionConflict:
            return None
        claimed = msgspec.structs.replace(request, version=intent.version, status="calling", attempts=data.attempt)
        return claimed, intent.event_id

    def _attempt(self, request: RequestRow) -> int:
        """The attempt that was scheduled: a call that was refused for lack of capacity does not count as one."""
        (newest,) = self._context.ledger.events(stream=request_stream(request.id), newest_first=True, limit=1)
        return newest.data.attempt if isinstance(newest.data, RequestRetryScheduled) else request.attempts + 1

    def _call(self, request: RequestRow, call_id: UUID) -> Answered | None:
        """The answer, None if the request was left as uncertain or to a later call. Raises what `make` raises."""
        context, began = self._context, self._context.ledger.clock.monotonic()
        patience = context.policy().lease_seconds

        def check() -> None:
            if context.ledger.clock.monotonic() - began >= patience:
                raise _Late

        try:
            result = _plain(
                context.provider.call(
                    context.ledger.payload(request.payload),
                    api_version=request.api_version,
                    betas=tuple(request.betas.split(",")) if request.betas else (),
                    before_send=check,
                )
            )
        except CapacityRefused as refusal:
            self._later(request, str(refusal), refusal.retry_after)
            raise ProviderUnreachable(str(refusal)) from refusal
        except SubmissionUncertain as unknown:
            self._append(abandoned(context, request, str(unknown)))
            raise ProviderUnreachable(str(unknown)) from unknown
        except LedgerError as error:
            self._later(request, str(error))
            if isinstance(error, _Late):
                return None
            raise
        return Answered(request, call_id, result, context.provider.provider_time() or context.now())

    def _later(self, request: RequestRow, reason: str, retry_after: float | None = None) -> None:
        """Nothing was done: it waits for another call, and this one does not count."""
        context = self._context
        delay = retry_delay(request.attempts, context.policy(), context.random(), retry_after)
        again = RequestRetryScheduled(
            attempt=request.attempts, due_at=context.after(delay), reason=reason, processing="standard"
        )
        self._append([request_event(context, request, again)])

    def _append(self, events: Sequence[NewEvent]) -> None:
        try:
            self._context.ledger.append(events)
        except VersionConflict as lost:
            _log.info("a standard call was given up by somebody else meanwhile (%s)", lost)

    def _keep(self, request_id: str, answer: Answered | None) -> None:
        """Record the answer, if there is one. Until it is on record, it is this worker's."""
        kept: Answered | None = None
        try:
            if answer is not None:
                record(self._context, answer)
        except DatabaseUnavailable:
            kept = answer
            raise
        finally:
            with self._lock:
                if kept is not None:
                    self._mine[request_id] = kept
                else:
                    del self._mine[request_id]


def _plain(result: ItemResult) -> ItemResult:
    """The result, unless it is an error that says nothing about the request."""
    said = f"{result.error_type}: {result.error_message}"
    if result.error_type in CAPACITY_ERRORS:
        raise CapacityRefused(said)
    if result.retryable:
        raise SubmissionUncertain(said)
    return result
