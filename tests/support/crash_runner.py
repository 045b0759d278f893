"""`python -m tests.support.crash_runner`: processes that may die at a crash point, one for each line of input.

A line is the environment of one process, as JSON. Each records the requests of the story and works until nothing is
left to do, alone and in one thread, so that the same points are reached each time. They are forks of one process,
which takes the first line for itself: what it has warmed up they find warm. One line of output tells the wait status
of each, once it is gone. Where its environment has `TRACE`, the points that it reaches are written to that file.
"""

from __future__ import annotations

import functools
import json
import os
import signal
import ssl
import sys
import time
import traceback
from contextlib import suppress
from datetime import datetime, timedelta
from typing import NoReturn

import anthropic  # noqa: F401  (imported once, before the forks)

from ledger import Ledger, crash_points
from ledger.clock import SystemClock
from ledger.crash_points import within
from ledger.errors import ProviderError
from ledger.queries import outstanding
from scheduler import Context, Intake, SchedulerSettings, Worker, providers
from scheduler.audit import audit
from scheduler.by_hand import cancel_batch
from tests.support.crash_story import LATER, LINES, TRACE, hasty, to_cancel

BREATH_SECONDS = 0.003
PATIENCE_SECONDS = 30


class Later(SystemClock):
    """The machine's clocks, so many seconds ahead: what a death leaves behind need not be waited for."""

    def __init__(self, seconds: float) -> None:
        self._ahead = timedelta(seconds=seconds)

    def now(self) -> datetime:
        return super().now() + self._ahead


def play() -> None:
    """Play the story to its end. Settings come from the environment."""
    chosen = SchedulerSettings.from_env()
    settings = providers.settings("anthropic", os.environ, timeout_seconds=chosen.http_timeout_seconds)
    provider = providers.provider("anthropic", settings)
    with Ledger.open(clock=Later(float(os.environ[LATER]))) as ledger:
        Intake(ledger, providers.rules("anthropic")).submit(LINES)
        context = Context(
            ledger=ledger,
            provider=provider,
            policy=lambda: hasty(chosen.policy()),
            random=lambda: 0.0,
            nonce=lambda: nonce(),
        )
        worker = Worker(context)

        def nonce() -> str:
            # No thread renews leases here; they are renewed in the course of every submission, as if it took long.
            worker.leases.renew_held()
            return os.urandom(8).hex()

        work(context, worker)
        with within("audit"):
            audit(context)
        work(context, worker)
    provider.close()


def work(context: Context, worker: Worker) -> None:
    """Do what is due until nothing is left to do, and what people do meanwhile."""
    while not outstanding(context.ledger).idle:
        steps = worker.plan()
        while worker.advance():
            steps += 1
            if (batch := to_cancel(context.ledger)) is not None:
                with within("cancel"), suppress(ProviderError):
                    cancel_batch(context, batch)
        if not steps:
            time.sleep(BREATH_SECONDS)


def live(environ: dict[str, str]) -> NoReturn:
    """A whole life, to its end."""
    os.environ.update(environ)
    signal.alarm(PATIENCE_SECONDS)
    try:
        if TRACE in environ:
            stream = os.open(environ[TRACE], os.O_WRONLY | os.O_CREAT | os.O_APPEND)
            crash_points.watch(lambda point: os.write(stream, f"{point}\n".encode()))
        play()
    except BaseException:
        traceback.print_exc()
        os._exit(1)
    os._exit(0)


def main() -> None:
    # Reading the certificates of the world takes longer than all else here, and every submission has its own client.
    ssl.create_default_context = functools.cache(ssl.create_default_context)  # type: ignore[assignment]
    os.environ.update(json.loads(sys.stdin.readline()))
    play()
    report(0)
    for line in sys.stdin:
        process = os.fork()
        if not process:
            live(json.loads(line))
        report(os.waitpid(process, 0)[1])


def report(status: int) -> None:
    """Tell how a life ended."""
    sys.stdout.write(f"{status}\n")
    sys.stdout.flush()


if __name__ == "__main__":
    main()
