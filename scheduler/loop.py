"""The loop: APScheduler calls the worker's steps again and again. All state is in the ledger, none is here."""

from __future__ import annotations

import logging
from collections.abc import Callable
from datetime import UTC, datetime
from types import TracebackType
from typing import Any, Final, Self

from apscheduler.executors.pool import ThreadPoolExecutor
from apscheduler.schedulers.background import BackgroundScheduler

from ledger.errors import DatabaseUnavailable
from scheduler.pace import Pace
from scheduler.worker import Worker

__all__ = ["Loop"]

_log = logging.getLogger(__name__)

HANDS: Final = 4
"""Batches advanced at once: one that uploads or downloads for minutes leaves the others going on."""

TICK_SECONDS: Final = 0.2

IDLE_SECONDS: Final = 1.0
"""How long it rests between two looks at most: a loop with nothing to do costs the database next to nothing."""


AUDIT_SECONDS: Final = 900.0
"""Between two comparisons of the provider's batches with the ledger; the first one is made at the start."""


_LONGEST_WAIT: Final = 1.0

_ALIAS: Final = "llm-ledger"


def _quiet(part: str) -> logging.Logger:
    """The library's logger for a part of ours, which tells of errors only, and not of each tick.

    A long step makes its job miss ticks; that is meant, too. Whoever else uses the library hears what it says.
    """
    logger = logging.getLogger(f"apscheduler.{part}.{_ALIAS}")
    logger.setLevel(logging.ERROR)
    return logger


class _SteadyScheduler(BackgroundScheduler):  # type: ignore[misc]  # the library has no types
    """APScheduler goes by the wall clock. When that is set back, its jobs would wait for the old time to return."""

    _latest = datetime.min.replace(tzinfo=UTC)

    def _process_jobs(self) -> Any:
        now = datetime.now(UTC)
        if now < self._latest:
            for job in self.get_jobs():
                job.modify(next_run_time=now)
        self._latest = now
        # It may also be set back between two of its looks at one pass, which then waits for the old time.
        wait = super()._process_jobs()
        return wait if wait is None else min(wait, _LONGEST_WAIT)


class Loop:
    """Runs a worker in the background between `start` and `stop`, or as a context manager.

    `coalesce` and `max_instances=1`: a tick that comes while the one before it still works is dropped. What fails
    is in `worker.mishaps`, and tried again; a database that is gone is `worker.outage`, and waited for; the loop
    itself goes on.
    """

    def __init__(self, worker: Worker, *, hands: int = HANDS, tick_seconds: float = TICK_SECONDS) -> None:
        self._worker = worker
        self._planning, self._advancing = (
            Pace(lambda: worker.clock, least=tick_seconds, most=IDLE_SECONDS) for _ in range(2)
        )
        self._scheduler = _SteadyScheduler(
            timezone="UTC",
            executors={_ALIAS: ThreadPoolExecutor(hands + 2)},
            job_defaults={"coalesce": True, "max_instances": 1, "misfire_grace_time": None},
            logger=_quiet("scheduler"),
        )
        _quiet("executors")
        self._every(tick_seconds, self._plan, id="plan")
        for hand in range(hands):
            self._every(tick_seconds, self._advance, id=f"advance-{hand}")
        self._every(AUDIT_SECONDS, self._audit, id="audit", next_run_time=datetime.now(UTC))

    def _every(self, seconds: float, act: Callable[[], None], **options: Any) -> None:
        self._scheduler.add_job(act, "interval", seconds=seconds, executor=_ALIAS, **options)

    def _plan(self) -> None:
        self._look(self._planning, "plan", self._worker.plan)

    def _advance(self) -> None:
        while self._scheduler.running and self._look(self._advancing, "advance", self._worker.advance):
            pass

    def _audit(self) -> None:
        if self._calmly("audit", self._worker.audit):
            self._advancing.found()

    def _look(self, pace: Pace, job: str, act: Callable[[], int]) -> bool:
        """Look for work unless there was none just now. True if there was some."""
        if not pace.may_look() or not self._calmly(job, act):
            return False
        # Whatever was done may be work for the other job: a batch to send, an attempt to repeat.
        self._planning.found()
        self._advancing.found()
        return True

    def _calmly(self, job: str, act: Callable[[], int]) -> int:
        """What `act` returns; 0 if it fails, and for a while after that."""
        mishaps, outage = self._worker.mishaps, self._worker.outage
        try:
            if job in mishaps.resting() or outage.lasts():
                return 0
            done = act()
        except DatabaseUnavailable as error:
            outage.happened(error)
            return 0
        except Exception as error:
            mishaps.happened(job, error)
            return 0
        mishaps.over(job)
        if done:
            outage.worked()
        return done

    def start(self) -> None:
        """Begin."""
        self._worker.leases.start()
        self._scheduler.start()

    def stop(self) -> None:
        """End after the steps under way."""
        self._scheduler.shutdown(wait=True)
        self._worker.leases.stop()

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()
