"""The writer: one thread that appends what every thread and event loop of a process hands in, group by group.

    submit   acknowledged: a future of the positions, bound to no event loop; done means committed and synced
    record   behind somebody's back: returns at once and raises nothing; what the ledger cannot take goes to the spool

What a crash may lose: nothing whose future was done, and no record in the spool (if the machine goes too, none but
the last 255 of these). It loses what was recorded and neither committed nor spooled yet, the few milliseconds that a
commit takes. A normal exit flushes, for 5 seconds at most, and spools the rest. SIGTERM without a handler of the
application's own is a crash: Python runs no exit handlers then.
"""

from __future__ import annotations

import atexit
import sys
import threading
import time
from collections import deque
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import Future
from typing import Final, Protocol
from weakref import WeakSet

from ledger.clock import Clock, SystemClock
from ledger.encoding import encode
from ledger.errors import DatabaseUnusable
from ledger.events import NewEvent
from ledger.forks import survives_forks
from ledger.overflow import Overflow
from ledger.payloads import EncodedPayload
from ledger.spool import Spool
from ledger.turns import GROUP, Append, gather_seconds

__all__ = ["Target", "Writer"]

CAPACITY: Final = 10_000
"""Appends that may wait."""

WAIT_SECONDS: Final = 30.0
"""How long `submit` waits for room among them."""

EXIT_SECONDS: Final = 5.0
"""How long the exit of a process waits for its writers."""


class Target(Protocol):
    """The ledger that is written to."""

    def append_all(self, appends: Sequence[Append]) -> None:
        """Decide many appends, each for itself."""
        ...


class _Entry:
    """An append on its way. Without a future it is a record, for which nobody waits."""

    __slots__ = ("append", "events", "future")

    def __init__(
        self, events: Sequence[NewEvent], payloads: Iterable[EncodedPayload], future: Future[list[int]] | None
    ) -> None:
        self.events = events
        self.append = Append(encode(events), list(payloads), None)
        self.future = future

    def is_wanted(self) -> bool:
        """False once its future was cancelled; from here on it cannot be any more."""
        return self.future is None or self.future.set_running_or_notify_cancel()


class Writer:
    """Writes to the ledger that `target` returns, which is asked in the thread and may raise `DatabaseUnusable`.

    Safe to share between threads and loops. It starts with the first append; a forked child begins with an empty
    queue and a thread of its own. Without a `spool` (a ledger in memory) records wait in memory.
    """

    def __init__(
        self,
        target: Callable[[], Target],
        spool: Spool | None = None,
        *,
        clock: Clock | None = None,
        capacity: int = CAPACITY,
    ) -> None:
        self._target = target
        self._overflow = Overflow(spool, clock or SystemClock())
        self._capacity = capacity if spool is not None else sys.maxsize
        self._begin()
        _live.add(self)
        survives_forks(self)

    def _begin(self) -> None:
        self._changed = threading.Condition()
        self._queue: deque[_Entry] = deque()
        self._writing: Sequence[_Entry] = ()
        self._thread: threading.Thread | None = None
        self._closed = False
        self._accepted = self._settled = self._expected = 0
        self._gather_seconds = 0.0

    @property
    def closed(self) -> bool:
        """True once nothing is accepted any more."""
        return self._closed

    @property
    def dropped(self) -> int:
        """Records of this process that are lost: they cannot be stored, or the spool has no room for them."""
        return self._overflow.dropped

    @property
    def spooled(self) -> int:
        """Records of this process that went to the spool, or were set aside beside it."""
        return self._overflow.spooled

    def submit(
        self,
        events: Sequence[NewEvent],
        payloads: Iterable[EncodedPayload] = (),
        *,
        wait: float = WAIT_SECONDS,
    ) -> Future[list[int]]:
        """Append events, all or none. The future gives their positions, or raises what `Ledger.append` raises.

        `asyncio.wrap_future` makes it awaitable in any loop. Cancelling it in time means that nothing is written.
        While the queue is full this blocks, up to `wait` seconds. Raises `InputError` for events that cannot be
        stored, `DatabaseUnusable` when there is still no room or the writer is closed.
        """
        future: Future[list[int]] = Future()
        if not self._put(_Entry(events, payloads, future), wait):
            raise self._no_room(wait)
        return future

    def record(self, events: Sequence[NewEvent], payloads: Iterable[EncodedPayload] = ()) -> None:
        """Append events, all or none, some time soon. Never waits for the database, and never raises.

        Events that cannot be stored are named in the log and counted in `dropped`.
        """
        try:
            entry = _Entry(events, payloads, None)
        except Exception as error:
            self._overflow.drop(error)
            return
        try:
            reason = None if self._put(entry, 0) else self._no_room(0)
        except Exception as error:  # no thread can be started any more: the interpreter is leaving
            reason = error
        if reason is not None:
            self._overflow.keep(entry.events, entry.append.payloads, reason)

    def flush(self, timeout: float | None = None) -> bool:
        """Wait until all that was handed in so far is committed, refused or spooled. False if time ran out."""
        with self._changed:
            goal = self._accepted
            done = self._changed.wait_for(lambda: self._settled >= goal, timeout)
        self._overflow.sync()
        return done

    def close(self, timeout: float = EXIT_SECONDS) -> None:
        """Write what is there and stop. Records that the database does not take in time are spooled."""
        with self._changed:
            self._closed = True
            self._changed.notify_all()
            thread = self._thread
        try:
            if thread is not None:
                thread.join(timeout)
        finally:  # also for whoever loses patience and interrupts
            self._give_up()

    def _give_up(self) -> None:
        with self._changed:
            writing, left = self._writing, list(self._queue)
            self._writing = ()
            self._queue.clear()
            self._settled += len(left)
            self._changed.notify_all()
        late = DatabaseUnusable("the ledger's writer was closed before this could be written")
        for entry in (*writing, *left):  # what is being written may yet be: the ids tell then
            if entry.future is None:
                self._overflow.keep(entry.events, entry.append.payloads, late)
        for entry in left:
            if entry.future is not None and entry.is_wanted():
                entry.future.set_exception(late)
        self._overflow.close()

    def before_fork(self) -> None:
        """Nothing: the queue stays with this process."""

    def after_fork(self, *, child: bool) -> None:
        """Begin anew in a child."""
        if child:
            self._begin()
            self._overflow.after_fork()

    def _put(self, entry: _Entry, wait: float) -> bool:
        with self._changed:
            self._changed.wait_for(lambda: self._closed or len(self._queue) < self._capacity, wait)
            if self._closed or len(self._queue) >= self._capacity:
                return False
            if self._thread is None or not self._thread.is_alive():
                self._start()
            self._queue.append(entry)
            self._accepted += 1
            self._changed.notify_all()
        return True

    def _start(self) -> None:
        thread = threading.Thread(target=self._run, name="ledger-writer", daemon=True)
        thread.start()
        self._thread = thread
        _flush_at_exit_of_child()

    def _run(self) -> None:
        while entries := self._next():
            wanted = [entry for entry in entries if entry.is_wanted()]
            appends = [entry.append for entry in wanted]
            started = time.monotonic()
            try:
                self._target().append_all(appends)
            except Exception as error:
                for append in appends:
                    if not append.done:
                        append.refusal = error
            self._gather_seconds = gather_seconds(time.monotonic() - started)
            for entry in wanted:
                self._settle(entry)
            with self._changed:
                self._writing = ()
                self._settled += len(entries)
                self._changed.notify_all()
                idle = not self._queue
            self._overflow.sync()
            if idle and any(append.refusal is None for append in appends):
                self._overflow.take_back(self._target)

    def _next(self) -> list[_Entry]:
        """What has arrived, up to a full group; nothing once the writer is closed and all is written."""
        with self._changed:
            self._changed.wait_for(lambda: self._queue or self._closed)
            # Those written last time are likely to be back in a moment.
            self._changed.wait_for(lambda: self._closed or len(self._queue) >= self._expected, self._gather_seconds)
            entries: list[_Entry] = []
            room = GROUP
            while self._queue and room > 0:
                entries.append(self._queue.popleft())
                room -= len(entries[-1].events)
            self._expected = 0 if self._queue else len(entries)
            self._writing = entries
            self._changed.notify_all()
            return entries

    def _settle(self, entry: _Entry) -> None:
        refusal = entry.append.refusal
        if entry.future is not None:
            if refusal is not None:
                entry.future.set_exception(refusal)
            else:
                entry.future.set_result(entry.append.result())
        elif refusal is not None:
            self._overflow.keep(entry.events, entry.append.payloads, refusal)

    def _no_room(self, waited: float) -> Exception:
        if self._closed:
            return DatabaseUnusable("the ledger's writer is closed")
        in_vain = f", and no room came in {waited:g} s" if waited else ""
        return DatabaseUnusable(f"{self._capacity} appends wait for the database{in_vain}")


_live: WeakSet[Writer] = WeakSet()


def _close_all() -> None:
    end = time.monotonic() + EXIT_SECONDS
    for writer in list(_live):
        writer.close(max(0.0, end - time.monotonic()))


atexit.register(_close_all)


def _flush_at_exit_of_child() -> None:
    """Children of `multiprocessing` leave without running exit handlers, but run its own."""
    process = sys.modules.get("multiprocessing.process")
    if process is not None and process.parent_process() is not None:
        from multiprocessing.util import Finalize

        Finalize(None, _close_all, exitpriority=100)
