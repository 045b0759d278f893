"""Where a record goes that the ledger did not take: to the spool, beside it, or, if all else fails, into a count."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable, Sequence
from typing import Final

from ledger.clock import Clock
from ledger.errors import AppendRefused, InputError, VersionConflict
from ledger.events import NewEvent
from ledger.intake import Log, take_in
from ledger.payloads import EncodedPayload
from ledger.spool import Spool, encode_record

__all__ = ["Overflow"]

_log = logging.getLogger(__name__)

QUIET_SECONDS: Final = 60.0
"""Between two lines in the log that say the same."""


class Overflow:
    """Keeps records for a writer, without ever raising. `spool` is None for a ledger in memory: nothing is kept."""

    def __init__(self, spool: Spool | None, clock: Clock) -> None:
        self._spool = spool
        self._clock = clock
        self._begin()

    def _begin(self) -> None:
        self._waits = False
        self._said: dict[str, float] = {}
        self.dropped = 0
        self.spooled = 0

    def keep(self, events: Sequence[NewEvent], payloads: Iterable[EncodedPayload], reason: Exception) -> None:
        """Keep an append that did not reach the log, for a better time or, if that is no use, for people."""
        try:
            self._keep(encode_record(events, payloads), reason)
            self.spooled += 1
        except Exception as error:
            self.dropped += 1
            self._say("call records are lost, %d so far: %s; %s", self.dropped, reason, error)

    def _keep(self, record: bytes, reason: Exception) -> None:
        if self._spool is None:
            raise OSError("a ledger in memory has no spool")
        # A conflict may only mean that the event before it in its stream is in the spool.
        early = self._waits and isinstance(reason, VersionConflict)
        if isinstance(reason, AppendRefused | InputError) and not early:
            where = self._spool.set_aside(reason, record)
            self._say("call records are set aside in %s: %s", where, reason)
        else:
            self._spool.append(record)
            self._waits = True
            self._say("call records are spooled to %s: %s", self._spool.path, reason)

    def drop(self, reason: Exception) -> None:
        """Count a record that has no form in which it could be kept, and say so each time."""
        self.dropped += 1
        _log.error("a call record is lost, since it cannot be stored: %s", reason)

    def take_back(self, log: Callable[[], Log]) -> None:
        """Take in what was spooled, now that the database can be written again."""
        if self._spool is not None and self._waits:
            self._waits = False
            self.close()
            try:
                left = take_in(log(), self._spool.base).left
            except Exception as error:
                self._say("what is spooled cannot be taken in now: %s", error)
                left = 1
            if left:
                self._waits = True

    def sync(self) -> None:
        """Have what was spooled on the disk."""
        if self._spool is not None:
            self._attempt(self._spool.sync)

    def close(self) -> None:
        """Let go of the spool file. Whatever comes later begins another one."""
        if self._spool is not None:
            self._attempt(self._spool.close)

    def after_fork(self) -> None:
        """Begin anew in a child."""
        self._begin()
        if self._spool is not None:
            self._spool.after_fork()

    def _attempt(self, action: Callable[[], None]) -> None:
        try:
            action()
        except OSError as error:
            self._say("the spool cannot be synced: %s", error)

    def _say(self, line: str, *values: object) -> None:
        """A line in the log, once a minute at most."""
        now = self._clock.monotonic()
        if now - self._said.get(line, float("-inf")) >= QUIET_SECONDS:
            self._said[line] = now
            _log.warning(line, *values)
