"""The scheduler loop under supervision: it ends on a signal, when nothing is left, or when it makes no sense."""

from __future__ import annotations

import os
import signal
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from itertools import count
from types import FrameType
from typing import Final, TypeVar

import msgspec

from ledger import Ledger
from ledger.errors import DatabaseUnavailable, ProviderError
from ledger.queries import Outstanding, active_batches, count_requests, outstanding
from llm_ledger.cli.run_display import RunDisplay, run_display
from llm_ledger.cli.words import counted
from scheduler import Context, Loop
from scheduler.budget import BudgetHold
from scheduler.outage import Outage
from scheduler.supervised import Awaited, Supervised, another_account, broken, held_back, refusal

__all__ = ["Leave", "Stop", "insisting", "stop_on_signals", "work"]

LOOK_SECONDS: Final = 0.25
"""How often the supervisor looks whether it is over."""

ACCOUNT_LOOKS: Final = 8
"""Every so many looks it asks whether what is left belongs to somebody else."""

_SHOW_CURSOR: Final = b"\x1b[?25h"

_T = TypeVar("_T")


class Leave(msgspec.Struct, frozen=True, kw_only=True):
    """When to leave of one's own accord.

    `give_up_after` in seconds for which the provider or the database fails, None for never.
    """

    until_idle: bool
    give_up_after: float | None


class Stop(threading.Event):
    """Set by a signal; `signal_number` says by which."""

    signal_number: int | None = None


@contextmanager
def stop_on_signals() -> Iterator[Stop]:
    """SIGINT and SIGTERM set the event within the block; the second one ends the process at once."""
    stop = Stop()

    def handle(number: int, _frame: FrameType | None) -> None:
        if stop.is_set():
            if sys.stderr.isatty():
                os.write(sys.stderr.fileno(), _SHOW_CURSOR)
            os._exit(128 + number)  # threads are in the middle of steps; the ledger knows how far they are
        stop.signal_number = number
        stop.set()

    before = {number: signal.signal(number, handle) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield stop
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def work(context: Context, stop: Stop, leave: Leave) -> None:
    """Run the loop until it is over. Raises what made going on senseless: `ProviderError`, or a step's failure.

    A database that is gone for a while is waited for. Raises `DatabaseUnavailable` if it is given up.
    """
    worker = Supervised(context)
    with run_display(context.ledger) as display, Loop(worker):
        for look in count(1):
            if stop.is_set():
                break
            worker.raise_failure()
            try:
                if not worker.outage.lasts() and _is_over(context, worker, leave, display, look):
                    break
            except DatabaseUnavailable as error:
                worker.outage.happened(error)
            _check_database(worker.outage, leave)
            stop.wait(LOOK_SECONDS)
        if stop.is_set():
            display.say("stopping after the steps under way; once more stops at once")
    worker.raise_failure()


def insisting(question: Callable[[], _T], ledger: Ledger, stop: Stop, leave: Leave) -> _T:
    """The answer to a question to the ledger, as soon as its database can be used.

    Raises `DatabaseUnavailable` if that is given up, or if somebody wants to stop.
    """
    outage = Outage(ledger)
    while True:
        try:
            if not outage.lasts():
                answer = question()
                outage.worked()
                return answer
        except DatabaseUnavailable as error:
            outage.happened(error)
        if stop.is_set() and outage.error is not None:
            raise outage.error
        _check_database(outage, leave)
        stop.wait(LOOK_SECONDS)


def _is_over(context: Context, worker: Supervised, leave: Leave, display: RunDisplay, look: int) -> bool:
    """Look how things are. Raises what makes going on senseless."""
    left = outstanding(context.ledger)
    display.stand(left)
    if leave.until_idle and left.idle:
        worker.outage.worked()
        return not worker.audit()  # what the provider has twice is found, and waited for, in the same run
    _check_provider(worker, leave, left)
    if leave.until_idle and look % ACCOUNT_LOOKS == 0:
        _check_rest(context, worker, left)
    return False


def _check_database(outage: Outage, leave: Leave) -> None:
    """Raises `DatabaseUnavailable` if it has been waited for long enough."""
    error, failing_for = outage.error, outage.failing_for()
    if error is not None and leave.give_up_after is not None and failing_for >= leave.give_up_after:
        raise DatabaseUnavailable(f"gave up after {failing_for:.0f} s: {error}; nothing is lost, run again to go on")


def _check_provider(worker: Supervised, leave: Leave, left: Outstanding) -> None:
    """Raises `ProviderError` if waiting any longer is pointless."""
    error, failing_for = worker.health.error, worker.health.failing_for()
    queued = f"; {counted(left.requests, 'request')} stay queued, run again to go on"
    if error is not None and leave.give_up_after is not None and failing_for >= leave.give_up_after:
        raise ProviderError(f"gave up after {failing_for:.0f} s: {error}{queued}")
    if leave.until_idle and (refused := refusal(worker.health)):
        raise ProviderError(f"{refused}{queued}")


def _check_rest(context: Context, worker: Supervised, left: Outstanding) -> None:
    """Raises what keeps everything that is left from being done."""
    active = active_batches(context.ledger)
    others = left.requests - sum(batch.request_count - batch.settled for batch in active)
    awaited = Awaited(active, others, count_requests(context.ledger, statuses=("fallback",)))
    if another_account(context, awaited):
        raise ProviderError(
            f"{counted(len(active), 'batch')} left, of another account; set that account's key to go on"
        )
    if failure := broken(worker, awaited):
        raise failure
    if hold := held_back(worker, awaited):
        raise BudgetHold(f"{hold}; {counted(left.requests, 'request')} stay queued")
