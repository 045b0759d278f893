"""Events as a scheduler appends them, written down in a line each.

history = History()
request = history.request("a", tags={"team": "docs"})
history.submitted([request])
history.succeed(request, usage(input=100, output=20))
ledger.append(history.take())
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import timedelta
from hashlib import sha256
from typing import Any
from uuid import UUID

import msgspec

from ledger import NewEvent
from ledger import events as e
from ledger.ids import IdFactory
from ledger.pricing import PriceBook
from tests.support.clock import FakeClock, seeded_ids

__all__ = ["Batch", "History", "Request", "prefix", "usage"]

API_VERSION = "2026-10-21"


@dataclass
class Request:
    """What the builder remembers of a request. `state`: queued, called, batched, undecided, calling or done."""

    id: str
    model: str
    state: str
    attempts: int = 0
    batch: Batch | None = None
    index: int | None = None
    answered: bool = False

    @property
    def item(self) -> dict[str, Any]:
        """Its place in its batch, as outcome events name it."""
        return {"batch_id": self.batch.id, "batch_index": self.index} if self.batch is not None else {}


@dataclass
class Batch:
    """What the builder remembers of a batch. `state`: planned, submitting, uncertain, open, ended or done."""

    id: str
    state: str = "planned"
    requests: list[Request] = field(default_factory=list)
    created_at: Any = None
    nonce: str = ""


class History:
    """Collects events with the versions and ids that they need. `take` hands over those not yet taken."""

    def __init__(self, clock: FakeClock | None = None, ids: IdFactory | None = None) -> None:
        self.clock = clock or FakeClock()
        self.ids = ids or seeded_ids(self.clock)
        self.requests: list[Request] = []
        self.batches: list[Batch] = []
        self._versions: dict[str, int] = {}
        self._events: list[NewEvent] = []

    def take(self) -> list[NewEvent]:
        """The events since the last call."""
        events, self._events = self._events, []
        return events

    def add(self, stream: str, data: e.EventData, *, correlation: UUID | None = None) -> NewEvent:
        """Any event, next in its stream."""
        version = self._versions.get(stream, 0) + 1
        self._versions[stream] = version
        event = NewEvent(stream, version, data, self.ids.new(), self.clock.now(), correlation)
        self._events.append(event)
        return event

    def starts_after(self, stream: str, version: int) -> None:
        """Say that a stream stands at a version already."""
        self._versions[stream] = version

    # --- requests --------------------------------------------------------------------------------------------

    def request(
        self,
        custom_id: str | None = None,
        *,
        key: str = "default",
        model: str = "claude-haiku-4-5",
        mode: e.Processing = "batch",
        tags: dict[str, str] | None = None,
        prefix: tuple[tuple[str, int, bool], ...] = (),
        markers: int | None = None,
    ) -> Request:
        """`request.recorded`. A prefix comes from `prefix()`; as many markers as it has, unless said otherwise."""
        custom_id = custom_id or f"r{len(self.requests)}"
        params = sha256(custom_id.encode()).hexdigest()
        request = Request(str(self.ids.new()), model, "queued" if mode == "batch" else "called")
        data = e.RequestRecorded(
            key=key,
            custom_id=custom_id,
            provider="anthropic",
            model=model,
            mode=mode,
            api_version=API_VERSION,
            params_hash=params,
            payload=params,
            size=200,
            max_tokens=1000,
            estimated_input_tokens=50,
            tags=tags or {},
            markers=sum(marked for _, _, marked in prefix) if markers is None else markers,
            prefix=prefix,
        )
        self.add(e.request_stream(request.id), data, correlation=UUID(request.id))
        self.requests.append(request)
        return request

    def succeed(self, request: Request, usage: bytes | None = None, *, model: str | None = None) -> None:
        """The answer and its usage: as `result`, or as `duplicate` if the request was done before."""
        model = model or request.model
        if request.state != "done":
            data = e.RequestSucceeded(
                model=model,
                result=sha256(request.id.encode()).hexdigest(),
                size=300,
                processing=self._processing(request),
                message_id="msg_1",
                stop_reason="end_turn",
                **request.item,
            )
            self.add(e.request_stream(request.id), data)
            self.used(request, usage, model=model)
            request.state, request.answered = "done", True
        else:
            self.used(request, usage, model=model, role="duplicate")

    def used(
        self, request: Request, usage: bytes | None = None, *, model: str | None = None, role: e.Role = "result"
    ) -> None:
        """`cache_usage.recorded`, billed at the batch's creation or now."""
        created = request.batch.created_at if request.batch is not None else None
        data = e.CacheUsageRecorded(
            role=role,
            provider="anthropic",
            model=model or request.model,
            processing=self._processing(request),
            billed_at=created or self.clock.now(),
            usage=msgspec.Raw(usage if usage is not None else b'{"input_tokens": 100, "output_tokens": 10}'),
            **request.item,
        )
        self.add(e.request_stream(request.id), data)

    def fail(self, request: Request, *, retryable: bool = True) -> None:
        data = e.RequestFailed(
            error_type="overloaded_error" if retryable else "invalid_request_error",
            message="no",
            retryable=retryable,
            result=sha256(b"no").hexdigest(),
            size=2,
            **request.item,
        )
        self.add(e.request_stream(request.id), data)
        request.state = "undecided" if retryable else "done"

    def expire(self, request: Request) -> None:
        self.add(e.request_stream(request.id), e.RequestExpired(**request.item))
        request.state = "undecided"

    def cancel(self, request: Request) -> None:
        self.add(e.request_stream(request.id), e.RequestCanceled(**request.item))
        request.state = "done"

    def retry(self, request: Request, delay: float = 60) -> None:
        due = self.clock.now() + timedelta(seconds=delay)
        data = e.RequestRetryScheduled(attempt=request.attempts + 1, due_at=due, reason="overloaded")
        self.add(e.request_stream(request.id), data)
        request.state = "queued"

    def reopen(self, request: Request) -> None:
        """`request.retry_scheduled` by hand, of a request that has ended without an answer."""
        data = e.RequestRetryScheduled(attempt=1, due_at=self.clock.now(), reason="by hand", by_hand=True)
        self.add(e.request_stream(request.id), data)
        if not request.answered:
            request.state, request.attempts = "queued", 0

    def call(self, request: Request) -> None:
        """Put back for a standard call, and `request.call_started`."""
        now = self.clock.now()
        waits = e.RequestRetryScheduled(
            attempt=request.attempts + 1, due_at=now, reason="overloaded", processing="standard"
        )
        self.add(e.request_stream(request.id), waits)
        request.attempts += 1
        request.batch = None
        data = e.RequestCallStarted(
            attempt=request.attempts,
            deadline=now + timedelta(seconds=660),
            account=msgspec.Raw(b'{"base_url":"http://provider.test"}'),
        )
        self.add(e.request_stream(request.id), data)
        request.state = "calling"

    def abandon(self, request: Request) -> None:
        data = e.RequestAbandoned(reason="too many attempts", attempts=request.attempts)
        self.add(e.request_stream(request.id), data)
        request.state = "done"

    def cost_unknown(self, request: Request) -> None:
        self.add(e.request_stream(request.id), e.RequestCostUnknown(reason="the result carries no usage"))

    # --- batches ---------------------------------------------------------------------------------------------

    def plan(self, requests: Sequence[Request]) -> Batch:
        """`batch.planned`, `request.batched` for each."""
        batch = Batch(str(self.ids.new()), requests=list(requests))
        data = e.BatchPlanned(
            provider="anthropic",
            api_version=API_VERSION,
            betas=(),
            request_count=len(requests),
            size=200 * len(requests),
            reason="full",
            policy=msgspec.Raw(b'{"max_requests":100}'),
        )
        self.add(e.batch_stream(batch.id), data, correlation=UUID(batch.id))
        for index, request in enumerate(requests):
            request.attempts += 1
            request.state, request.batch, request.index = "batched", batch, index
            batched = e.RequestBatched(batch_id=batch.id, index=index, attempt=request.attempts)
            self.add(e.request_stream(request.id), batched, correlation=UUID(request.id))
        self.batches.append(batch)
        return batch

    def start(self, batch: Batch) -> None:
        """`batch.submission_started`: the intent."""
        batch.nonce = self.ids.new().hex[-12:]
        data = e.BatchSubmissionStarted(
            nonce=batch.nonce,
            deadline=self.clock.now() + timedelta(seconds=15),
            newest_before=None,
            account=msgspec.Raw(b'{"base_url":"http://provider.test"}'),
            noted_at=self.clock.now(),
            reserved=5_000_000 * len(batch.requests),
        )
        self.add(e.batch_stream(batch.id), data)
        batch.state = "submitting"

    def refuse(self, batch: Batch) -> None:
        data = e.BatchSubmissionRefused(reason="429", due_at=self.clock.now() + timedelta(seconds=5))
        self.add(e.batch_stream(batch.id), data)
        batch.state = "planned"

    def doubt(self, batch: Batch) -> None:
        """`batch.submission_uncertain`."""
        data = e.BatchSubmissionUncertain(reason="timeout", check_at=self.clock.now() + timedelta(seconds=30))
        self.add(e.batch_stream(batch.id), data)
        batch.state = "uncertain"

    def release(self, batch: Batch) -> None:
        self.add(e.batch_stream(batch.id), e.BatchSubmissionReleased(reason="quiet for 300 s"))
        batch.state = "planned"

    def accept(self, batch: Batch) -> None:
        """`batch.submitted`: the provider has it from now on."""
        batch.created_at = self.clock.now()
        data = e.BatchSubmitted(
            provider_batch_id=f"msgbatch_{batch.id}",
            created_at=batch.created_at,
            expires_at=batch.created_at + timedelta(hours=24),
            next_poll_at=batch.created_at + timedelta(minutes=1),
            nonce=batch.nonce,
        )
        self.add(e.batch_stream(batch.id), data)
        batch.state = "open"

    def poll(self, batch: Batch, *, problem: str | None = None, state: str = "in_progress") -> None:
        counts = None if problem else e.BatchCounts(processing=len(batch.requests))
        data = e.BatchPolled(
            next_poll_at=self.clock.now() + timedelta(minutes=2), state=state, counts=counts, problem=problem
        )
        self.add(e.batch_stream(batch.id), data)

    def ask_to_cancel(self, batch: Batch) -> None:
        self.add(e.batch_stream(batch.id), e.BatchCancelRequested(reason="by hand"))

    def end(self, batch: Batch) -> None:
        counts = e.BatchCounts(succeeded=len(batch.requests))
        self.add(e.batch_stream(batch.id), e.BatchEnded(ended_at=self.clock.now(), counts=counts))
        batch.state = "ended"

    def collected(self, batch: Batch) -> None:
        self.add(e.batch_stream(batch.id), e.BatchResultsCollected(lines=len(batch.requests)))
        batch.state = "done"

    def fail_batch(self, batch: Batch) -> None:
        self.add(e.batch_stream(batch.id), e.BatchFailed(reason="split"))
        batch.state = "done"

    def twin(self, batch: Batch) -> None:
        """`batch.duplicate_detected`, and the twin as a batch of its own."""
        twin = Batch(str(self.ids.new()), requests=[])
        held = f"msgbatch_twin_{twin.id}"
        data = e.BatchDuplicateDetected(provider_batch_id=held, nonce=batch.nonce, twin_id=twin.id)
        self.add(e.batch_stream(batch.id), data)
        planned = e.BatchPlanned(
            provider="anthropic",
            api_version=API_VERSION,
            betas=(),
            request_count=len(batch.requests),
            size=200 * len(batch.requests),
            reason="twin",
            policy=msgspec.Raw(b'{"max_requests":100}'),
            twin_of=batch.id,
        )
        self.add(e.batch_stream(twin.id), planned)
        now = self.clock.now()
        submitted = e.BatchSubmitted(
            provider_batch_id=held,
            created_at=now,
            expires_at=now + timedelta(days=1),
            next_poll_at=now,
            nonce=batch.nonce,
            adopted=True,
        )
        self.add(e.batch_stream(twin.id), submitted)

    def submitted(self, requests: Sequence[Request]) -> Batch:
        """Planned, started, accepted and polled once."""
        batch = self.plan(requests)
        self.start(batch)
        self.accept(batch)
        self.poll(batch)
        return batch

    # --- the rest --------------------------------------------------------------------------------------------

    def adopt(self, book: PriceBook) -> None:
        data = e.PriceBookAdopted(digest=book.digest, book=msgspec.Raw(book.canonical().encode()))
        self.add(e.prices_stream("anthropic"), data)

    def configure(self, version: str = "1") -> None:
        """`config.changed`: an event that no projection needs."""
        self.add("config/default", e.ConfigChanged(version=version, config=msgspec.Raw(b'{"enabled":true}')))

    @staticmethod
    def _processing(request: Request) -> e.Processing:
        return "batch" if request.batch is not None else "standard"


def usage(
    input: int = 0,  # noqa: A002
    output: int = 0,
    *,
    write_5m: int = 0,
    write_1h: int = 0,
    read: int = 0,
    **more: Any,
) -> bytes:
    """A provider's usage object."""
    counts = {
        "input_tokens": input,
        "output_tokens": output,
        "cache_creation_input_tokens": write_5m + write_1h,
        "cache_read_input_tokens": read,
        "cache_creation": {"ephemeral_5m_input_tokens": write_5m, "ephemeral_1h_input_tokens": write_1h},
    }
    return json.dumps({**counts, **more}).encode()


def prefix(*blocks: str, unmarked: int = 0) -> tuple[tuple[str, int, bool], ...]:
    """A fingerprint of blocks of 1,000 tokens, all but the first `unmarked` ones with a breakpoint."""
    chain = ""
    found = []
    for at, block in enumerate(blocks):
        chain += f"/{block}"
        found.append((sha256(chain.encode()).hexdigest()[:16], 1000, at >= unmarked))
    return tuple(found)
