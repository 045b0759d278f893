"""A real ledger, the scheduler's own worker and SDK client, and a simulated provider over HTTP, on one clock that is
moved by hand: days pass in milliseconds, and nothing is timed."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta
from decimal import Decimal
from itertools import count
from typing import Any, TypeVar

import httpx2
import msgspec

from ledger import Ledger
from ledger.events import EventData, RequestAbandoned, RequestCanceled, RequestFailed, RequestSucceeded
from ledger.prices import adopt_packaged_prices
from ledger.queries import batches, outstanding, requests
from ledger.savings import Period
from ledger.summary import savings
from ledger.verify import verify
from llm_ledger.simulator import RunningSimulator, SimulatorConfig, running
from scheduler import Context, Intake, Policy, Worker, providers
from scheduler.providers.anthropic import AnthropicBatches, AnthropicSettings
from tests.support.clock import NOON
from tests.support.ledgers import bare_ledger
from tests.support.manual_clock import ManualClock

__all__ = ["KEY", "SimulatedWorld", "simulated_world"]

Kind = TypeVar("Kind", bound=EventData)

KEY = "sk-of-the-test"
QUIET = 20.0
STEP = 4.0
"""Seconds that pass between two turns of the worker."""

_TERMINAL = (RequestSucceeded, RequestCanceled, RequestAbandoned)


class SimulatedWorld:
    """Everything of one test."""

    def __init__(self, simulator: RunningSimulator, clock: ManualClock, *, size: int, timeout: float) -> None:
        self.simulator = simulator
        self.clock = clock
        self.ledger: Ledger = bare_ledger(clock)
        adopt_packaged_prices(self.ledger)
        self.policy = Policy(
            max_requests=size,
            max_age_seconds=1.0,
            poll_min_seconds=1.0,
            poll_max_seconds=8.0,
            retry_min_seconds=1.0,
            retry_max_seconds=8.0,
            lease_seconds=15.0,
            submit_quiet_seconds=QUIET,
        )
        self._timeout = timeout
        self._names = count()
        self._nonces = count(1)
        self.provider = self._connect(KEY)
        self.worker = self.newborn()

    def _connect(self, key: str) -> AnthropicBatches:
        return AnthropicBatches(
            AnthropicSettings(
                api_key=key, base_url=self.simulator.base_url, timeout_seconds=self._timeout, read_retries=0
            )
        )

    def newborn(self) -> Worker:
        """Another worker, as after a restart."""
        self.context = Context(
            ledger=self.ledger,
            provider=self.provider,
            policy=lambda: self.policy,
            random=lambda: 0.5,
            nonce=lambda: f"{next(self._nonces):016x}",
        )
        return Worker(self.context)

    def restart(self, key: str = KEY) -> None:
        """The program ends and is started again, with this key."""
        self.provider.close()
        self.provider = self._connect(key)
        self.worker = self.newborn()

    def submit(self, many: int) -> None:
        """Record so many new requests, each of its own text."""
        lines = []
        for number in (next(self._names) for _ in range(many)):
            message = {"role": "user", "content": f"Question {number}: what is {number} times 7?"}
            params = {"model": "claude-haiku-4-5", "max_tokens": 16, "messages": [message]}
            lines.append(json.dumps({"custom_id": f"r{number}", "params": params}).encode())
        Intake(self.ledger, providers.rules("anthropic")).submit(lines)

    def plan(self, size: int) -> None:
        """Record so many new requests, and make one batch of them."""
        self.policy = msgspec.structs.replace(self.policy, max_requests=size)
        self.submit(size)
        assert self.worker.plan() == size

    def pass_time(self, seconds: float = STEP) -> None:
        """Both clocks move on."""
        self.clock.advance(seconds)
        self.simulator.advance(seconds)

    def turn(self, seconds: float = STEP) -> None:
        """Time passes, and the worker does everything that is due."""
        self.pass_time(seconds)
        while self.worker.plan():
            pass
        self.worker.tick()
        assert self.worker.mishaps.errors == {}

    def run(self, *, turns: int = 60) -> int:
        """Take turns until nothing is left to do. Returns how many that took."""
        for number in range(turns):
            if outstanding(self.ledger).idle:
                return number
            self.turn()
        raise AssertionError(f"not done: {list(batches(self.ledger))} {self.worker.health.error}")

    def recorded(self, kind: type[Kind]) -> list[Kind]:
        return [event.data for event in self.ledger.events() if isinstance(event.data, kind)]

    def statuses(self) -> Counter[str]:
        return Counter(row.status for row in requests(self.ledger))

    def cost(self) -> Decimal:
        return Decimal(savings(self.ledger, Period())["cost"]["actual"])

    def bill(self) -> Decimal:
        return Decimal(self.simulator.bill()["total"])

    def post_foreign(self, size: int, key: str = KEY) -> str:
        """Somebody else who uses the account makes a batch. Returns its id."""
        message = {"role": "user", "content": "not ours"}
        params = {"model": "claude-haiku-4-5", "max_tokens": 16, "messages": [message]}
        items = [{"custom_id": f"{0xABCDEF:016x}-{index}", "params": params} for index in range(size)]
        with self.client(key) as http:
            made = http.post("/v1/messages/batches", json={"requests": items})
        return str(made.raise_for_status().json()["id"])

    def client(self, key: str = KEY) -> httpx2.Client:
        """A client of the provider's that is not ours."""
        headers = {"x-api-key": key, "anthropic-version": "2026-10-21"}
        return httpx2.Client(base_url=self.simulator.base_url, headers=headers, timeout=10)

    def check(self, *, foreign: Decimal = Decimal(0)) -> None:
        """I2, I4 and I6: the log is sound, each request ended once, and the cost is the bill less what others owe."""
        assert verify(self.ledger.database).problems == ()
        outcomes = Counter(event.stream_id for event in self.ledger.events() if _ends(event.data))
        assert dict(outcomes) == {f"request/{row.id}": 1 for row in requests(self.ledger)}
        assert self.cost() == self.bill() - foreign

    def close(self) -> None:
        self.provider.close()
        self.ledger.close()


def _ends(data: EventData) -> bool:
    return isinstance(data, _TERMINAL) or (isinstance(data, RequestFailed) and not data.retryable)


@contextmanager
def simulated_world(*, size: int = 2, timeout: float = 10.0, **config: Any) -> Iterator[SimulatedWorld]:
    """A world with batches of `size`, whose client waits `timeout` real seconds; `config` as for the simulator."""
    chosen: dict[str, Any] = {"start": NOON - timedelta(seconds=3), "time_scale": 0, "batch_seconds": 6} | config
    with running(SimulatorConfig(**chosen)) as simulator:
        world = SimulatedWorld(simulator, ManualClock(), size=size, timeout=timeout)
        try:
            yield world
        finally:
            world.close()
