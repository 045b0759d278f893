"""A year of traffic: 6 models, 2 modes, 3 tags. The same events for us, for the bare driver and for the peer.

Half of the events are batch items (recorded → batched → succeeded, usage), half are standard calls that are
recorded behind their answer (recorded, succeeded, usage in one go).
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator
from datetime import UTC, datetime, timedelta
from itertools import chain, islice
from random import Random
from typing import Final
from uuid import UUID

import msgspec

from ledger import NewEvent
from ledger import events as e
from ledger.clock import to_micros
from ledger.ids import derive

__all__ = ["START", "appends", "events_in", "regrouped", "singles"]

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


class _Round(msgspec.Struct, frozen=True):
    """One batch of so many items, and so many calls."""

    batch: int
    calls: int

    @property
    def events(self) -> int:
        return self.batch * 4 + 3 + self.calls * 3


_WHOLE: Final = _Round(1500, 2000)


def events_in(events: int) -> int:
    """How many events at least so many come to: whole rounds, or one small round."""
    size = _round(events).events
    return -(-events // size) * size


def _round(events: int) -> _Round:
    share = min(1.0, events / _WHOLE.events)
    return _Round(math.ceil(_WHOLE.batch * share), math.ceil(_WHOLE.calls * share))


def appends(events: int, seed: int = 0) -> Iterator[list[NewEvent]]:
    """At least `events` events, as the lists that an application would append, spread over one year."""
    random = Random(seed)
    ids = _Ids(random)
    each = _round(events)
    rounds = events_in(events) // each.events
    for number in range(rounds):
        ids.now = START + YEAR * number / rounds
        yield from _batch(ids, random, each.batch)
        yield from _calls(ids, random, each.calls)


def regrouped(lists: Iterable[list[NewEvent]], size: int) -> Iterator[list[NewEvent]]:
    """The same events in the same order, as the lists of a bulk loader."""
    flow = chain.from_iterable(lists)
    while events := list(islice(flow, size)):
        yield events


def singles(count: int, seed: int = 1) -> list[NewEvent]:
    """Events that have nothing to do with each other: requests that are recorded one by one."""
    random = Random(seed)
    ids = _Ids(random)
    return [_recorded(ids, random, ids.new(), "standard") for _ in range(count)]


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
    batch_id = str(batch) if batch is not None else None
    succeeded = e.RequestSucceeded(
        model=model,
        result=_HASH,
        size=900,
        processing=processing,
        stop_reason="end_turn",
        message_id="msg_1",
        batch_id=batch_id,
        batch_index=index,
    )
    usage = e.CacheUsageRecorded(
        role="result",
        provider="anthropic",
        model=model,
        processing=processing,
        billed_at=ids.now,
        usage=_usage(random),
        batch_id=batch_id,
        batch_index=index,
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


def _batch(ids: _Ids, random: Random, size: int) -> Iterator[list[NewEvent]]:
    requests = [ids.new() for _ in range(size)]
    recorded = [_recorded(ids, random, request, "batch") for request in requests]
    yield recorded
    batch, stream = ids.new(), e.batch_stream
    planned = e.BatchPlanned(
        provider="anthropic",
        api_version="2026-10-21",
        betas=(),
        request_count=size,
        size=size * 3_000,
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
    for start in range(0, size, _PAGE):
        page = range(start, min(start + _PAGE, size))
        models = [
            event.data.model for event in recorded[start : start + _PAGE] if isinstance(event.data, e.RequestRecorded)
        ]
        yield [
            event
            for index, model in zip(page, models, strict=True)
            for event in _answer(ids, random, requests[index], model, 3, batch, index)
        ]
    collected = e.BatchResultsCollected(lines=size)
    yield [NewEvent(stream(str(batch)), 3, collected, ids.new(), ids.now, batch)]


def _calls(ids: _Ids, random: Random, size: int) -> Iterator[list[NewEvent]]:
    for start in range(0, size, _PAGE):
        events: list[NewEvent] = []
        for _ in range(min(_PAGE, size - start)):
            request = ids.new()
            recorded = _recorded(ids, random, request, "standard")
            assert isinstance(recorded.data, e.RequestRecorded)
            events += (recorded, *_answer(ids, random, request, recorded.data.model, 2, None, None))
        yield events
