"""A ledger, a provider and a clock, wired as in production and moved by hand."""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from itertools import count
from random import Random
from typing import Any, TypeVar

import msgspec
from sqlalchemy import func, select

from ledger import Ledger, schema
from ledger.clock import to_micros
from ledger.events import EventData, RecordedEvent
from ledger.prices import adopt_packaged_prices
from ledger.projections import BatchRow, RequestRow
from ledger.queries import batches, billed_items, outstanding, requests
from ledger.verify import verify
from scheduler import Context, Intake, Policy, Worker
from tests.support.fake_provider import FakeProvider
from tests.support.fake_rules import FakeRules
from tests.support.ledgers import bare_ledger
from tests.support.manual_clock import ManualClock

Kind = TypeVar("Kind", bound=EventData)

POLICY = Policy(
    max_requests=4,
    max_bytes=100_000,
    max_age_seconds=10.0,
    poll_min_seconds=1.0,
    poll_max_seconds=8.0,
    retry_min_seconds=1.0,
    retry_max_seconds=8.0,
    lease_seconds=15.0,
    submit_quiet_seconds=20.0,
)


class World:
    """Everything of one test. `url` None keeps the ledger in memory, for one thread only."""

    def __init__(self, url: str | None = None, *, seed: int = 0, **policy: Any) -> None:
        self.random = Random(seed)
        self.clock = ManualClock()
        if url is None:
            self.ledger = bare_ledger(self.clock)
            adopt_packaged_prices(self.ledger)
        else:
            self.ledger = Ledger.open(url, clock=self.clock)
        self.provider = FakeProvider(self.clock, seed=seed)
        self.policy = msgspec.structs.replace(POLICY, **policy)
        self._nonces = count(1)
        self._names = count()
        self.worker = self.another_worker()

    def context(self, ledger: Ledger | None = None) -> Context:
        return Context(
            ledger=ledger or self.ledger,
            provider=self.provider,
            policy=lambda: self.policy,
            random=self.random.random,
            nonce=lambda: f"{next(self._nonces):016x}",
        )

    def another_worker(self, ledger: Ledger | None = None) -> Worker:
        return Worker(self.context(ledger))

    def submit(self, many: int = 1, *, key: str = "default", **params: Any) -> list[bytes]:
        """Record so many new requests. Returns their params as they will be sent, in order."""
        bodies = [json.dumps({"max_tokens": 16, "n": next(self._names)} | params).encode() for _ in range(many)]
        self.record(bodies, key=key)
        return bodies

    def record(self, bodies: Iterable[bytes], *, key: str = "default") -> None:
        known = len(self.requests(key))
        lines = [b'{"custom_id":"r%d","params":%s}' % (known + number, body) for number, body in enumerate(bodies)]
        Intake(self.ledger, FakeRules(), key=key).submit(lines)

    def plan(self) -> list[BatchRow]:
        """Let every waiting request become old enough, and batch it. Returns all batches."""
        self.clock.advance(self.policy.max_age_seconds)
        while self.worker.plan():
            pass
        return self.batches()

    def send(self, many: int = 1, **params: Any) -> list[bytes]:
        """Submit requests and send them off in one batch."""
        bodies = self.submit(many, **params)
        self.plan()
        assert self.worker.advance()
        return bodies

    def run(self, *workers: Worker, seconds: float = 3_600.0) -> None:
        """Tick until nothing is left to do, from one instant at which something is due to the next."""
        end = self.clock.monotonic() + seconds
        while not outstanding(self.ledger).idle:
            assert self.clock.monotonic() < end, f"not done: {self.batches()} {self.requests()}"
            for worker in workers or (self.worker,):
                worker.tick()
            self.clock.advance(max(self.until_due(), 0.5))

    def until_due(self) -> float:
        """Seconds until a batch or a waiting request is due."""
        batch, state, request = schema.batches.c, schema.request_states.c, schema.requests.c
        queued = select(func.min(func.coalesce(state.due_at, request.recorded_at + self._most_age())))
        queued = queued.select_from(schema.requests.join(schema.request_states, request.seq == state.seq))
        with self.ledger.read() as connection:
            instants = [
                connection.scalar(select(func.min(batch.due_at))),
                connection.scalar(queued.where(state.status == "queued")),
            ]
        due = min((instant for instant in instants if instant is not None), default=0)
        return (due - to_micros(self.clock.now())) / 1_000_000

    def _most_age(self) -> int:
        return int(self.policy.max_age_seconds * 1_000_000)

    def requests(self, key: str | None = None) -> list[RequestRow]:
        return list(requests(self.ledger, key=key))

    def statuses(self) -> list[str]:
        return [row.status for row in self.requests()]

    def batches(self) -> list[BatchRow]:
        return list(batches(self.ledger))

    def batch(self) -> BatchRow:
        """The one batch there is."""
        (row,) = self.batches()
        return row

    def recorded(self, kind: type[Kind]) -> list[Kind]:
        return [event.data for event in self.ledger.events() if isinstance(event.data, kind)]

    def names(self, prefix: str = "batch.") -> list[str]:
        """Types of the events so far, in order."""
        return [event.type for event in self.ledger.events() if event.type.startswith(prefix)]

    def log(self, stream: str) -> Sequence[RecordedEvent]:
        return list(self.ledger.events(stream=stream))

    def cost(self) -> int:
        """What the ledger says was paid, in pico-USD."""
        total = 0
        rows = self.requests()
        for start in range(0, len(rows), 500):
            page = [row.id for row in rows[start : start + 500]]
            for items in billed_items(self.ledger, page).values():
                for item in items:
                    assert item.book is not None
                    if item.epoch is not None:
                        rates = item.book.rates(item.key, item.epoch)
                        total += item.tokens.uncached * rates.input + item.tokens.output * rates.output
        return total

    def check(self) -> None:
        """Log and projections are sound, and the ledger's cost is the provider's bill."""
        assert verify(self.ledger.database).problems == ()
        assert self.cost() == self.provider.bill()

    def close(self) -> None:
        self.ledger.close()
