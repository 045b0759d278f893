"""The thread that works and looks, from the first wait to the last one."""

from __future__ import annotations

import logging
import threading
from contextlib import closing
from itertools import count
from typing import Final

from ledger import Ledger
from ledger.errors import DatabaseUnavailable, ProviderError
from llm_optimization.batching.awaited import Wait
from llm_optimization.exceptions import BatchIncomplete
from scheduler import Context, Loop, Policy, providers
from scheduler.loop import TICK_SECONDS
from scheduler.providers.anthropic import AnthropicSettings
from scheduler.supervised import (
    GIVE_UP_AFTER_SECONDS,
    Supervised,
    another_account,
    broken,
    held_back,
    refusal,
)

__all__ = ["Watch"]

_log = logging.getLogger(__name__)

LEAST_SECONDS: Final = 0.02
MOST_SECONDS: Final = 0.25
"""Between two looks: soon at first and after something ended, then ever later."""

CLOSER_LOOKS: Final = 8
"""Every so many looks it asks what those who wait hang on."""


class Watch:
    """Runs the scheduler's loop until nobody waits any longer, then is over; the next one who waits needs another."""

    def __init__(self, url: str, settings: AnthropicSettings, policy: Policy) -> None:
        self._url = url
        self._settings = settings
        self._policy = policy
        self._lock = threading.Lock()
        self._waits: list[Wait] = []
        self._over = False
        self._stir = threading.Event()
        # Not a daemon: the process ends when the steps under way are done, as `llm-ledger run` does.
        self._thread = threading.Thread(target=self._run, name="llm-ledger batches")

    def start(self) -> None:
        """Begin."""
        self._thread.start()

    def take(self, wait: Wait) -> bool:
        """Wait for these as well. False if it is too late for that."""
        with self._lock:
            if self._over:
                return False
            self._waits.append(wait)
        wait.future.add_done_callback(lambda _: self._stir.set())
        self._stir.set()
        return True

    def _run(self) -> None:
        try:
            self._work()
        except Exception as error:
            for wait in self._leave():
                wait.fail(error)
        for wait in self._leave():
            wait.fail(BatchIncomplete(wait.key, wait.custom_ids))

    def _work(self) -> None:
        with (
            Ledger.open(self._url) as ledger,
            closing(providers.provider("anthropic", self._settings)) as provider,
        ):
            provider.account()  # a missing key is told now, not after the first requests were batched
            context = Context(ledger=ledger, provider=provider, policy=lambda: self._policy, keys=self._keys)
            worker = Supervised(context)
            with Loop(worker, tick_seconds=min(TICK_SECONDS, self._policy.poll_min_seconds)):
                self._watch(context, worker)

    def _keys(self) -> frozenset[str]:
        """What somebody here waits for, and nothing else, is sent under this account: others have their own."""
        with self._lock:
            return frozenset(wait.key for wait in self._waits)

    def _watch(self, context: Context, worker: Supervised) -> None:
        pause = LEAST_SECONDS
        for look in count(1):
            ended = self._look(context, worker, closer=look % CLOSER_LOOKS == 0)
            if self._is_over():
                return
            _check_worker(worker)
            pause = LEAST_SECONDS if ended else min(pause * 1.5, MOST_SECONDS)
            self._stir.wait(pause)
            self._stir.clear()

    def _look(self, context: Context, worker: Supervised, *, closer: bool) -> int:
        """Look once for everybody. Returns how many waits are over by that."""
        if worker.outage.lasts():
            return 0
        with self._lock:
            waits = list(self._waits)
        over = set()
        try:
            for wait in waits:
                if wait.look(context.ledger) or (closer and _is_senseless(context, worker, wait)):
                    over.add(wait)
        except DatabaseUnavailable as error:
            worker.outage.happened(error)
        with self._lock:
            self._waits = [wait for wait in self._waits if wait not in over]
        return len(over)

    def _is_over(self) -> bool:
        """Whether nobody waits, or the process ends, in which no step can be begun; nobody can come then, either."""
        with self._lock:
            self._over = not self._waits or not threading.main_thread().is_alive()
            return self._over

    def _leave(self) -> list[Wait]:
        with self._lock:
            self._over = True
            waits, self._waits = self._waits, []
            return waits


def _check_worker(worker: Supervised) -> None:
    """Raises what makes waiting senseless for all."""
    worker.raise_failure()
    if refused := refusal(worker.health):
        raise refused
    if worker.health.error is not None and worker.health.failing_for() >= GIVE_UP_AFTER_SECONDS:
        raise ProviderError(f"gave up after {worker.health.failing_for():.0f} s: {worker.health.error}")
    outage = worker.outage
    if outage.error is not None and outage.failing_for() >= GIVE_UP_AFTER_SECONDS:
        raise DatabaseUnavailable(f"gave up after {outage.failing_for():.0f} s: {outage.error}")


def _is_senseless(context: Context, worker: Supervised, wait: Wait) -> bool:
    """Tell who waits what keeps all of it from being done, if something does."""
    awaited = wait.awaited(context.ledger)
    error: Exception | None
    if not awaited.batches and not awaited.others:
        return False  # it ended since
    if another_account(context, awaited):
        error = ProviderError("what is awaited is in batches of another account; set that account's key to go on")
    else:
        error = (broken(worker, awaited) if not awaited.others else None) or held_back(worker, awaited)
    if error is not None:
        wait.fail(error)
    return error is not None
