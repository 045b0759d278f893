"""A year of traffic: 6 models, 2 modes, 3 tags. The same events for us, for the bare driver and for the peer.

Half of the events are batch items (recorded → batched → succeeded, usage), half are standard calls that are
recorded behind their answer (recorded, succeeded, usage in one go).
"""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from random import Random
from typing import Final
from uuid import UUID

import msgspec

from ledger import NewEvent
from ledger import events as e
from ledger.clock import to_micros
from ledger.ids import derive

__all__ = ["EVENTS_PER_ROUND", "START", "appends"]

START: Final = datetime(2025, 11, 1, tzinfo=UTC)
YEAR: Final = timedelta(days=365)
MODELS: Final = (
    "claude-haiku-4-5",
    "claude-haiku-5-5",
    "claude-sonnet-4-6",
    "claude-sonnet-5-5",
    "claude-opus-4-8",
    "claude-opus-5-5",
)
BATCH: Final = 1500
CALLS: Final = 2000
EVENTS_PER_ROUND: Final = BATCH * 4 + 3 + CALLS * 3
"""One batch with its life, and as many events of calls."""

_HASH: Final = "5e" * 32
_PAGE: Final = 500


class _Ids:
    """UUIDv7 along the simulated year, the same for the same seed."""

    def __init__(self, random: Random) -> None:
        self._random = random
        self.now = START
        self._micros = to_micros(START)

    def new(self) -> UUID:
        self._micros = max(self._micros + 1, to_micros(self.now))
        head = (self._micros // 1000 << 80) | 0x7 << 76 | (self._micros % 1000 << 66) | 0b10 << 62
        return UUID(int=head | self._random.getrandbits(62))


def appends(events: int, seed: int = 0) -> Iterator[list[NewEvent]]:
    """At least `events` events, as the lists that an application would append, spread over one year."""
    random = Random(seed)
    ids = _Ids(random)
    rounds = -(-events // EVENTS_PER_ROUND)
    for number in range(rounds):
        ids.now = START + YEAR * number / rounds
        yield from _batch(ids, random)
        yield from _calls(ids, random)


def _usage(random: Random) -> msgspec.Raw:
    read = random.choice((0, 4_000, 12_000))
    written = 0 if read else random.choice((0, 4_000))
    return msgspec.Raw(
        b'{"input_tokens":%d,"cache_creation_input_tokens":%d,"cache_read_input_tokens":%d,'
        b'"cache_creation":{"ephemeral_5m_input_tokens":0,"ephemeral_1h_input_tokens":%d},'
        b'"output_tokens":%d,"service_tier":"standard"}'
        % (random.randrange(50, 900), written, read, written, random.randrange(20, 600))
    )


def _recorded(ids: _Ids, random: Random, request: UUID, mode: e.Processing) -> NewEvent:
    system = random.randrange(20)
    data = e.RequestRecorded(
        key="bench",
        custom_id=request.hex,
        provider="anthropic",
        model=random.choice(MODELS),
        mode=mode,
        api_version="2026-10-21",
        params_hash=_HASH,
        payload=_HASH if mode == "batch" else None,
        size=random.randrange(800, 6_000),
        max_tokens=1024,
        estimated_input_tokens=5_000,
        tags={"team": f"team-{random.randrange(8)}", "app": f"app-{random.randrange(20)}", "env": "production"},
        markers=1,
        prefix=((f"{system:016x}", 4_000, True), (f"{request.int & 0xFFFFFFFF:016x}", 4_200, False)),
    )
    return NewEvent(e.request_stream(str(request)), 1, data, ids.new(), ids.now, request)


def _answer(
    ids: _Ids, random: Random, request: UUID, model: str, version: int, batch: UUID | None, index: int | None
) -> tuple[NewEvent, NewEvent]:
    stream = e.request_stream(str(request))
    processing: e.Processing = "standard" if batch is None else "batch"
    place = {"batch_id": str(batch), "batch_index": index} if batch is not None else {}
    succeeded = e.RequestSucceeded(
        model=model,
        result=_HASH,
        size=900,
        processing=processing,
        stop_reason="end_turn",
        message_id="msg_1",
        **place,
    )
    usage = e.CacheUsageRecorded(
        role="result",
        provider="anthropic",
        model=model,
        processing=processing,
        billed_at=ids.now,
        usage=_usage(random),
        **place,
    )
    names = (
        (derive(batch, index or 0, "outcome"), derive(batch, index or 0, "usage"))
        if batch
        else (ids.new(), ids.new())
    )
    return (
        NewEvent(stream, version, succeeded, names[0], ids.now, request, batch),
        NewEvent(stream, version + 1, usage, names[1], ids.now, request, batch),
    )


def _batch(ids: _Ids, random: Random) -> Iterator[list[NewEvent]]:
    requests = [ids.new() for _ in range(BATCH)]
    recorded = [_recorded(ids, random, request, "batch") for request in requests]
    yield recorded
    batch, stream = ids.new(), e.batch_stream
    planned = e.BatchPlanned(
        provider="anthropic",
        api_version="2026-10-21",
        betas=(),
        request_count=BATCH,
        size=BATCH * 3_000,
        reason="count",
        policy=msgspec.Raw(b"{}"),
    )
    yield [NewEvent(stream(str(batch)), 1, planned, ids.new(), ids.now, batch)] + [
        NewEvent(
            e.request_stream(str(request)),
            2,
            e.RequestBatched(batch_id=str(batch), index=index, attempt=1),
            derive(batch, index, "batched"),
            ids.now,
            request,
            batch,
        )
        for index, request in enumerate(requests)
    ]
    submitted = e.BatchSubmitted(
        provider_batch_id=f"msgbatch_{batch.hex}",
        created_at=ids.now,
        expires_at=ids.now + timedelta(days=1),
        next_poll_at=ids.now + timedelta(minutes=1),
        nonce=batch.hex[:16],
    )
    yield [NewEvent(stream(str(batch)), 2, submitted, ids.new(), ids.now, batch)]
    for start in range(0, BATCH, _PAGE):
        page = range(start, min(start + _PAGE, BATCH))
        models = [
            event.data.model for event in recorded[start : start + _PAGE] if isinstance(event.data, e.RequestRecorded)
        ]
        yield [
            event
            for index, model in zip(page, models, strict=True)
            for event in _answer(ids, random, requests[index], model, 3, batch, index)
        ]
    collected = e.BatchResultsCollected(lines=BATCH)
    yield [NewEvent(stream(str(batch)), 3, collected, ids.new(), ids.now, batch)]


def _calls(ids: _Ids, random: Random) -> Iterator[list[NewEvent]]:
    for _ in range(0, CALLS, _PAGE):
        events: list[NewEvent] = []
        for _ in range(_PAGE):
            request = ids.new()
            recorded = _recorded(ids, random, request, "standard")
            assert isinstance(recorded.data, e.RequestRecorded)
            events += (recorded, *_answer(ids, random, request, recorded.data.model, 2, None, None))
        yield events
