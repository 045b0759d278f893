"""A thread that does what it is handed, once whoever handed it over has gone on. One for this process: `behind`.

Threads of one interpreter take turns. Work that begins at once takes the turn of the very call that it is to stay
behind, and waking somebody up takes longer than most of what a call pays for here. So the thread looks every moment
for what came before the last one, wakes up by itself, and sleeps deeper only when nothing has come for a while.
"""

from __future__ import annotations

import atexit
import sys
import threading
from collections import deque
from collections.abc import Callable
from queue import SimpleQueue
from typing import Final

from ledger.forks import survives_forks

__all__ = ["Behind", "behind"]

CAPACITY: Final = 1000
"""Pieces of work that may wait. Whoever brings more does it himself, so that memory stays bounded."""

MOMENT_SECONDS: Final = 0.02
"""Work waits for one to two of these. A crash may lose what has come in that time."""

PATIENCE: Final = 100
"""Moments without work after which the thread has to be woken up."""

EXIT_SECONDS: Final = 5.0
"""How long the exit of a process waits for the thread, before it does itself what is left."""

_THREAD: Final = "llm-calls"

Work = Callable[[], object]
"""A piece of work. It raises nothing."""


class Behind:
    """Does pieces of work in the order in which they come, on one thread of its own: started with the first one.

    `put` takes no lock, so that it may be called from anywhere: also from a generator that the garbage collector
    closes while this very thread is about something else. A forked child begins with nothing to do. After `finish`
    no thread is started or relied on any more: what comes then is done by whoever brings it.
    """

    def __init__(
        self, *, capacity: int = CAPACITY, moment_seconds: float = MOMENT_SECONDS, patience: int = PATIENCE
    ) -> None:
        self._capacity = capacity
        self._moment_seconds = moment_seconds
        self._patience = patience
        self._finished = False
        self._begin()
        survives_forks(self)

    def _begin(self) -> None:
        self._todo = _Todo(self._moment_seconds, self._patience)
        self._threads: dict[str, threading.Thread] = {}  # at most one: `setdefault` lets one of many starters win

    @property
    def over(self) -> bool:
        """True once the process is leaving, and threads may neither be started nor relied on."""
        return self._finished or sys.is_finalizing()

    def put(self, work: Work) -> None:
        """Leave it to the thread. Where that cannot keep up, or none can be had any more, it is done here."""
        if self.over or len(self._todo.works) >= self._capacity:
            work()
            return
        self._todo.add(work)
        if not self._threads:
            self._start()

    def flush(self, timeout: float | None = None) -> bool:
        """Wait until all that was handed over so far is done. False if time ran out."""
        done = threading.Event()
        self._todo.add(done.set)
        if not self._threads:
            self._todo.do_all()
        self._todo.hurry.set()
        return done.wait(timeout)

    def finish(self, timeout: float = EXIT_SECONDS) -> None:
        """The process is leaving: wait for that long, then do here what is left."""
        self._finished = True
        if not self.flush(timeout):
            self._todo.do_all()

    def before_fork(self) -> None:
        """Nothing: what waits stays with this process."""

    def after_fork(self, *, child: bool) -> None:
        """Begin anew in a child."""
        if child:
            self._begin()

    def _start(self) -> None:
        """Have a thread, unless somebody else sees to it right now."""
        thread = threading.Thread(target=self._todo.run, name=_THREAD, daemon=True)
        if self._threads.setdefault(_THREAD, thread) is not thread:
            return
        try:
            thread.start()
        except RuntimeError:  # the interpreter is leaving, or there are too many
            self._threads.clear()  # before the rest is done: whoever adds to it from here on sees to it himself
            self._todo.do_all()
        else:
            self._finish_at_exit_of_child()

    def _finish_at_exit_of_child(self) -> None:
        """Children of `multiprocessing` leave without running exit handlers, but run its own."""
        process = sys.modules.get("multiprocessing.process")
        if process is not None and process.parent_process() is not None:
            from multiprocessing.util import Finalize

            Finalize(None, self.finish, exitpriority=200)  # before the ledger's writer, with 100


class _Todo:
    """What a thread and those who hand work over share."""

    def __init__(self, moment_seconds: float, patience: int) -> None:
        self._moment_seconds = moment_seconds
        self._patience = patience
        self.works: deque[Work] = deque()
        self.hurry = threading.Event()
        self._wanted: SimpleQueue[None] = SimpleQueue()  # not an Event: its lock would be taken twice by one thread
        self._sleeps = False

    def add(self, work: Work) -> None:
        """Put it down, and wake the thread only if it sleeps."""
        self.works.append(work)
        if self._sleeps:
            self._wanted.put(None)

    def do(self, count: int) -> None:
        """Do the oldest so many, unless somebody else does."""
        for _ in range(count):
            try:
                work = self.works.popleft()
            except IndexError:
                return
            work()

    def do_all(self) -> None:
        """Do what is there now."""
        self.do(len(self.works))

    def run(self) -> None:
        """The thread."""
        idle = due = 0
        while True:
            hurried = self.hurry.wait(self._moment_seconds)
            self.hurry.clear()
            self.do(len(self.works) if hurried else due)
            due = len(self.works)
            idle = 0 if due else idle + 1
            if idle > self._patience:
                self._sleep()
                idle = 0

    def _sleep(self) -> None:
        self._wanted = SimpleQueue()
        self._sleeps = True
        if not self.works:  # nobody who brings some from here on overlooks that this sleeps
            self._wanted.get()
        self._sleeps = False


behind: Final = Behind()

# Before the ledger's writer, which is imported first: exit handlers run in the opposite order.
atexit.register(behind.finish)
