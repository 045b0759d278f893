"""What one seed plays on: a ledger, a provider with a clock of its own, and workers, each as a process of its own."""

from __future__ import annotations

import json
from collections.abc import Callable
from functools import cache
from hashlib import sha256
from itertools import count
from random import Random
from typing import Any, NamedTuple
from uuid import UUID

from ledger import Ledger, NewEvent
from ledger.backends import Database
from ledger.clock import to_micros
from ledger.events import RequestRecorded, request_stream
from ledger.ids import IdFactory, derive
from ledger.payloads import encode_payload
from ledger.prices import adopt_packaged_prices
from scheduler import Context, Policy, Worker
from scheduler.machine import FAR
from tests.simulation.quick_database import QuickDatabase
from tests.support.fake_provider import MODEL, OURS, FakeProvider, Turn
from tests.support.ledgers import bare_ledger
from tests.support.manual_clock import LocalClock, ManualClock
from tests.support.mortal import Mortal

__all__ = ["SECRET", "Actor", "Queue", "Stage", "template"]

SECRET = "sk-ant-api03-canary-of-the-simulation"

_SETTLED = "('batched', 'succeeded', 'errored', 'canceled', 'abandoned')"
_QUEUE = f"""
SELECT (SELECT count(*) FROM request_states WHERE status NOT IN {_SETTLED}),
       (SELECT count(*) FROM request_states WHERE status = 'batched'),
       (SELECT count(*) FROM batches WHERE due_at IS NOT NULL),
       (SELECT min(position) FROM ledger_head)
"""
_DUE = f"""
SELECT due_at FROM batches WHERE due_at IS NOT NULL UNION ALL
SELECT coalesce(s.due_at, r.recorded_at + {{age}}) FROM request_states s JOIN requests r ON r.seq = s.seq
WHERE s.status NOT IN {_SETTLED}
"""


_SOUGHT = {"submitting", "uncertain"}


@cache
def template() -> Any:
    """The driver's connection to an empty ledger: its only event is the adoption of the prices."""
    ledger = bare_ledger(url="sqlite://")
    adopt_packaged_prices(ledger)
    kept: Any = ledger.database
    return kept._engine.raw_connection().driver_connection


@cache
def _quick() -> QuickDatabase:
    """For one story after the other."""
    return QuickDatabase(template())


class Queue(NamedTuple):
    """What is left: requests to be planned or decided about, requests in batches, batches with a next step."""

    waiting: int
    batched: int
    batches: int
    position: int

    @property
    def idle(self) -> bool:
        """True if nothing is."""
        return not (self.waiting or self.batched or self.batches)


class Actor:
    """One process: its clock, its view of the ledger, its client of the provider, its worker."""

    def __init__(self, name: str, clock: LocalClock, session: FakeProvider, context: Context) -> None:
        self.name = name
        self.clock = clock
        self.session = session
        self.context = context
        self.worker = Worker(context, name)


class Stage:
    """The true time is `clock`. Everything that is drawn is drawn from `random`."""

    def __init__(self, random: Random, policy: Policy, database: Database | None = None) -> None:
        self.random = random
        self.policy = policy
        self.clock = ManualClock()
        self.database = database or _quick()
        self.ids = IdFactory(self.clock, random.randbytes)
        self.ledger = Ledger(self.database, clock=self.clock, ids=self.ids)
        self.provider = FakeProvider(LocalClock(self.clock, random.choice([0.0, 0.0, 240.0, -240.0])))
        self.acknowledged: dict[int, UUID] = {}
        self._nonces = count(1)
        self._names = count(1)
        self._requests = count()

    def actor(
        self, dies: Callable[[], bool], chance: Callable[[str], Turn], *, ahead: float = 0.0, account: Any = OURS
    ) -> Actor:
        """A process that begins now, its wall clock `ahead` seconds of the true time."""
        clock = LocalClock(self.clock, ahead)
        ledger: Any = Mortal(Ledger(self.database, clock=clock, ids=self.ids), dies, self.acknowledged)
        session = self.provider.session(account)
        session.chance = chance
        context = Context(
            ledger=ledger,
            provider=session,
            policy=lambda: self.policy,
            random=self.random.random,
            nonce=lambda: f"{next(self._nonces):016x}",
        )
        name = f"worker-{next(self._names)}"
        return Actor(name, clock, session, context)

    def submit(
        self, many: int, *, key: str, version: str, betas: tuple[str, ...], tags: dict[str, str]
    ) -> list[bytes]:
        """Record so many new requests. Returns their params."""
        bodies = [
            json.dumps({"model": MODEL, "max_tokens": 256, "n": next(self._requests)}).encode() for _ in range(many)
        ]
        events, payloads, now = [], [], self.clock.now()
        for body in bodies:
            payload = encode_payload(body)
            payloads.append(payload)
            data = RequestRecorded(
                key=key,
                custom_id=sha256(body).hexdigest()[:12],
                provider="anthropic",
                model=MODEL,
                mode="batch",
                api_version=version,
                params_hash=payload.digest.hex(),
                payload=payload.digest.hex(),
                size=payload.size,
                max_tokens=256,
                estimated_input_tokens=len(body),
                betas=betas,
                tags=tags,
            )
            request = self.ids.new()
            events.append(NewEvent(request_stream(str(request)), 1, data, derive(request, "recorded"), now, request))
        positions = self.ledger.append(events, payloads=payloads)
        self.acknowledged.update(zip(positions, (event.event_id for event in events), strict=True))
        return bodies

    def queue(self) -> Queue:
        """What is left to do."""
        with self.database.read() as connection:
            return Queue(*connection.exec_driver_sql(_QUEUE).cursor.fetchall()[0])

    def all_known(self) -> bool:
        """Whether the ledger knows of every batch of ours, and looks for none.

        Only then results may vanish: else nobody could tell any more whose batch it was.
        """
        query = "SELECT provider_batch_id, status FROM batches"
        with self.database.read() as connection:
            rows = connection.exec_driver_sql(query).cursor.fetchall()
        ours = {held.id for held in self.provider.batches if not held.strange}
        if self.provider._coming:
            return False
        return bool(ours) and ours <= {row[0] for row in rows} and not {row[1] for row in rows} & _SOUGHT

    def until_due(self, actors: list[Actor]) -> float:
        """Seconds until something is due for one of them, as its own clock has it; 0 if something is."""
        query = _DUE.format(age=int(self.policy.max_age_seconds * 1_000_000))
        with self.database.read() as connection:
            instants = [row[0] for row in connection.exec_driver_sql(query).cursor.fetchall()]
        waits = [
            due - now if now < due <= now + FAR else 0
            for now in (to_micros(actor.clock.now()) for actor in actors)
            for due in instants
        ]
        return min(waits, default=0) / 1_000_000

    def close(self) -> None:
        """Nothing is left of it."""
        self.database.close()
