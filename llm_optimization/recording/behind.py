"""A thread that does what it is handed, once whoever handed it over has gone on. One for this process: `behind`.

Threads of one interpreter take turns. Work that begins at once takes the turn of the very call that it is to stay
behind: measured, an `ainvoke` of LangChain's took 2 ms longer. So the thread lets a moment pass first, and then does
everything that has come meanwhile.
"""

from __future__ import annotations

import atexit
import sys
import threading
from collections.abc import Callable
from queue import Empty, SimpleQueue
from typing import Final

from ledger.forks import survives_forks

__all__ = ["Behind", "behind"]

CAPACITY: Final = 1000
"""Pieces of work that may wait. Whoever brings more does it himself, so that memory stays bounded."""

MOMENT_SECONDS: Final = 0.02
"""How long work waits for the call it came from to be over. It is what a crash may lose."""

EXIT_SECONDS: Final = 5.0
"""How long the exit of a process waits for the thread, before it does itself what is left."""

Work = Callable[[], object]
"""A piece of work. It raises nothing."""


class Behind:
    """Does pieces of work in the order in which they come, on a thread of its own: started with the first one.

    `put` takes no lock, so that it may be called from anywhere: also from a generator that the garbage collector
    closes while this very thread is about something else. A forked child begins with nothing to do.
    """

    def __init__(self, *, capacity: int = CAPACITY) -> None:
        self._capacity = capacity
        self._begin()
        survives_forks(self)

    def _begin(self) -> None:
        self._queue: SimpleQueue[Work] = SimpleQueue()
        self._hurried = threading.Event()
        self._thread: threading.Thread | None = None

    def put(self, work: Work) -> None:
        """Leave it to the thread. Where that cannot keep up, or none can be had any more, it is done here."""
        if self._queue.qsize() < self._capacity and self._is_there():
            self._queue.put(work)
        else:
            work()

    def flush(self, timeout: float | None = None) -> bool:
        """Wait until all that was handed over so far is done. False if time ran out."""
        if self._thread is None:
            return True
        done = threading.Event()
        self._queue.put(done.set)
        self._hurried.set()
        return done.wait(timeout)

    def finish(self, timeout: float = EXIT_SECONDS) -> None:
        """Wait for that long, then do here what is left."""
        if not self.flush(timeout):
            while (work := _next(self._queue)) is not None:
                work()

    def before_fork(self) -> None:
        """Nothing: what waits stays with this process."""

    def after_fork(self, *, child: bool) -> None:
        """Begin anew in a child."""
        if child:
            self._begin()

    def _is_there(self) -> bool:
        if self._thread is None:
            thread = threading.Thread(target=_run, args=(self._queue, self._hurried), name="llm-calls", daemon=True)
            try:
                thread.start()
            except RuntimeError:  # the interpreter is leaving
                return False
            self._thread = thread
            self._finish_at_exit_of_child()
        return True

    def _finish_at_exit_of_child(self) -> None:
        """Children of `multiprocessing` leave without running exit handlers, but run its own."""
        process = sys.modules.get("multiprocessing.process")
        if process is not None and process.parent_process() is not None:
            from multiprocessing.util import Finalize

            Finalize(None, self.finish, exitpriority=200)  # before the ledger's writer, with 100


def _run(queue: SimpleQueue[Work], hurried: threading.Event) -> None:
    while True:
        work: Work | None = queue.get()
        hurried.wait(MOMENT_SECONDS)
        hurried.clear()
        while work is not None:
            work()
            work = _next(queue)


def _next(queue: SimpleQueue[Work]) -> Work | None:
    try:
        return queue.get_nowait()
    except Empty:
        return None


behind: Final = Behind()

# Before the ledger's writer, which is imported first: exit handlers run in the opposite order.
atexit.register(behind.finish)
