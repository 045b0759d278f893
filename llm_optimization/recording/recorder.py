"""The recorder: finished calls on their way into the ledger, behind the answer or before it.

    record         behind: notes the call and returns; raises nothing, waits for nothing
    record_sync    waits until it is committed; `arecord_sync` does so on an event loop

A ledger that cannot be written keeps no answer from anybody: then records go to the ledger's spool, with a line in
the log once a minute, and are taken in later. What a crash may lose are the calls of its last milliseconds: those
noted and not committed yet. A normal exit and `flush` wait for them; what exit handlers call after that is spooled.
"""

from __future__ import annotations

import asyncio
import logging
import os
import sys
import threading
import time
from collections.abc import Sequence
from concurrent.futures import Future
from contextlib import suppress
from typing import Final, Protocol

from ledger import NewEvent
from ledger.errors import DatabaseUnusable
from ledger.forks import survives_forks
from ledger.ids import IdFactory
from ledger.settings import LedgerSettings
from ledger.shared import shared_writer
from ledger.writer import Writer
from llm_optimization.recording.behind import behind
from llm_optimization.recording.calls import FinishedCall
from llm_optimization.recording.events import call_events
from llm_optimization.recording.notes import Note, note

__all__ = ["CallRecorder", "recorder_for"]

_log = logging.getLogger(__name__)

PATIENCE_SECONDS: Final = 30.0
"""How long `record_sync` holds an answer back for a commit. The record is not lost after that, only late."""


class CallRecorder:
    """Records calls through a ledger's writer. Safe to share between threads, event loops and forks."""

    def __init__(self, writer: Writer, *, ids: IdFactory | None = None) -> None:
        self._writer = writer
        self._ids = ids or IdFactory()

    @property
    def closed(self) -> bool:
        """True once the ledger's writer takes nothing more."""
        return self._writer.closed

    def record(self, call: FinishedCall) -> None:
        """Record a call some time soon. Costs the caller one copy of its params."""
        noted = note(call)
        behind.put(lambda: self._write(noted))

    def record_sync(self, call: FinishedCall) -> None:
        """Record a call, and wait for the commit. Raises nothing: without one, the record is spooled."""
        with suppress(TimeoutError):
            self._submit(call, wait=PATIENCE_SECONDS).result(PATIENCE_SECONDS)

    async def arecord_sync(self, call: FinishedCall) -> None:
        """`record_sync` for an event loop. Who is cancelled meanwhile does not take the record along."""
        await asyncio.wait([asyncio.wrap_future(self._submit(call, wait=0))], timeout=PATIENCE_SECONDS)

    def flush(self, timeout: float | None = None) -> bool:
        """Wait until all calls recorded so far are committed, refused or spooled. False if time ran out."""
        started = time.monotonic()
        done = behind.flush(timeout)
        left = None if timeout is None else max(0.0, timeout - (time.monotonic() - started))
        return self._writer.flush(left) and done

    def _submit(self, call: FinishedCall, *, wait: float) -> Future[None]:
        """A future that is done, and never fails, once the call is committed or was left to the spool."""
        settled: Future[None] = Future()
        events = self._events(note(call))
        try:
            stored = self._writer.submit(events, wait=wait)
        except Exception:  # no room, closed, or no thread any more: the spool, then
            self._writer.record(events)
            settled.set_result(None)
        else:
            stored.add_done_callback(lambda outcome: self._settle(outcome, events, settled))
        return settled

    def _settle(self, outcome: Future[list[int]], events: Sequence[NewEvent], settled: Future[None]) -> None:
        if outcome.exception() is not None:
            self._writer.record(events)  # the same ids: should the commit have succeeded, they are known
        settled.set_result(None)

    def _write(self, noted: Note) -> None:
        self._writer.record(self._events(noted))

    def _events(self, noted: Note) -> list[NewEvent]:
        """The events of a call; none, with a line in the log, should they be impossible to make."""
        try:
            return call_events(noted, self._ids.new())
        except Exception as error:
            # The kind of the error only: its text may quote the prompt.
            _log.error("a call record is lost, since it cannot be made: %s", type(error).__name__)
            return []


class _Recorders:
    """Those of this process, by the place that a URL means: a relative one depends on where the process is."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._recorders: dict[tuple[str, str], CallRecorder] = {}
        survives_forks(self)

    def at(self, url: str) -> CallRecorder:
        place = (url, os.getcwd() if _is_relative(url) else "")  # noqa: PTH109 - a Path takes 5 times as long
        recorder = self._recorders.get(place)
        if recorder is not None and (behind.over or not recorder.closed):
            return recorder
        writer = shared_writer(url)
        if behind.over:  # too late for a thread of its own, which a closed one does without: it spools
            writer.close()
        with self._lock:
            recorder = self._recorders.get(place)
            if recorder is None or recorder.closed:
                recorder = self._recorders[place] = CallRecorder(writer)
            return recorder

    def before_fork(self) -> None:
        """Nothing: the lock is made anew."""

    def after_fork(self, *, child: bool) -> None:
        if child:
            self._lock = threading.Lock()


def _is_relative(url: str) -> bool:
    return url.startswith("sqlite") and ":////" not in url


class Settings(Protocol):
    """As much of an `OptimizationConfig` as recording takes."""

    @property
    def database_url(self) -> str | None:
        """A SQLAlchemy URL; None means `LLM_LEDGER_DATABASE_URL`."""
        ...


def recorder_for(settings: Settings) -> CallRecorder:
    """This process's recorder into the ledger of these settings. Cheap enough to ask for each call.

    Raises `ConfigurationError` for a URL that can be none, and `DatabaseUnusable` once the interpreter tears itself
    down. The database is opened with the first record.
    """
    if sys.is_finalizing():  # a thread that is gone may hold any lock for good
        raise DatabaseUnusable("this call came to light after the process had closed its ledger")
    return _recorders.at(settings.database_url or LedgerSettings.from_env().database_url)


_recorders = _Recorders()
