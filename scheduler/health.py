"""Whether the provider is worth asking at the moment: circuit breakers over its refusals and silences.

There is one over the provider as a whole, for when it cannot be reached or takes no credential of ours, and one over
each kind of operation, for what concerns that alone: no capacity for new batches is no reason to leave the old alone.
"""

from __future__ import annotations

import logging
import re
import threading
from collections.abc import Iterator
from typing import Final, Literal

from ledger.clock import Clock
from ledger.errors import ProviderError, ProviderRefused
from scheduler.providers.base import CapacityRefused, CreateOutcome

__all__ = ["OPERATIONS", "Operation", "ProviderHealth"]

_log = logging.getLogger(__name__)

Operation = Literal["create", "read", "call"]
"""`create` makes batches, `read` asks about them and fetches results, `call` makes standard calls."""

OPERATIONS: Final[tuple[Operation, ...]] = ("create", "read", "call")

_FIRST_PAUSE: Final = 1.0
_LONGEST_PAUSE: Final = 30.0
_DAY: Final = 86_400.0
_CREDENTIAL: Final = frozenset({401, 402, 403})
_REQUEST_ID: Final = re.compile(r"\breq_\w+")


class _Circuit:
    """Closed without an `error`; else open until an instant of the monotonic clock, then half-open."""

    def __init__(self) -> None:
        self.error: ProviderError | None = None
        self._pause = _FIRST_PAUSE
        self._until = 0.0

    def open(self, now: float) -> bool:
        return self.error is not None and now < self._until

    def failed(self, error: ProviderError, now: float) -> None:
        if self.error is None:
            self._pause = _FIRST_PAUSE
        self.error = error
        self._until = now + max(self._pause, _told(error))
        self._pause = min(self._pause * 2, _LONGEST_PAUSE)

    def close(self) -> None:
        self.error = None

    def try_one(self, now: float) -> None:
        """Somebody asks now. While it is half-open, others wait for what comes of it, but not for ever."""
        if self.error is not None:
            self._until = now + self._pause


class ProviderHealth:
    """Shared by the steps of one worker; thread-safe. Goes by the monotonic clock alone.

    After a failure what it concerns pauses: as long as the provider asked for, else longer each time, up to 30 s.
    Then one may try, and how that goes decides for all. `error` is the latest failure in force, None while the
    provider answers as it should.
    """

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._lock = threading.Lock()
        self._whole = _Circuit()
        self._parts = {operation: _Circuit() for operation in OPERATIONS}
        self._latest: _Circuit | None = None
        self._failing_since = 0.0

    @property
    def error(self) -> ProviderError | None:
        """The latest failure in force."""
        with self._lock:
            return self._error()

    @property
    def paused(self) -> bool:
        """True while nothing should be asked of the provider."""
        with self._lock:
            return self._whole.open(self._clock.monotonic())

    @property
    def refused(self) -> bool:
        """True if the provider answers, but will not take the credential: waiting alone mends nothing."""
        return isinstance(self.error, ProviderRefused)

    def failing_for(self) -> float:
        """Seconds since the provider last answered as it should, to whatever operation; 0 while it does."""
        with self._lock:
            return self._clock.monotonic() - self._failing_since if self._error() is not None else 0.0

    def pausing(self) -> frozenset[Operation]:
        """The operations that should not be tried now."""
        with self._lock:
            now = self._clock.monotonic()
            return frozenset(operation for operation in OPERATIONS if self._open(operation, now))

    def admits(self, operation: Operation) -> bool:
        """Whether it may be tried now. After a pause that is true for one, whose outcome the others wait for."""
        with self._lock:
            now = self._clock.monotonic()
            if self._open(operation, now):
                return False
            self._whole.try_one(now)
            self._parts[operation].try_one(now)
            return True

    def failed(self, error: ProviderError, operation: Operation | None = None) -> None:
        """A step of that kind ended in this error; None: it concerns them all."""
        with self._lock:
            now = self._clock.monotonic()
            if self._error() is None:
                self._failing_since = now
            circuit = self._whole if operation is None or _concerns_all(error) else self._parts[operation]
            if circuit.error is None or _gist(circuit.error) != _gist(error):
                _log.warning("%s", error)
            circuit.failed(error, now)
            self._latest = circuit

    def answered(self, operation: Operation | None = None) -> None:
        """The provider answered a step of that kind as it should; None: whatever it is asked."""
        with self._lock:
            failing = self._error() is not None
            for circuit in (self._whole, *(self._parts[one] for one in OPERATIONS if operation in (one, None))):
                circuit.close()
            self._failing_since = self._clock.monotonic()
            if failing and self._error() is None:
                _log.info("the provider answers again")

    def _open(self, operation: Operation, now: float) -> bool:
        return self._whole.open(now) or self._parts[operation].open(now)

    def _error(self) -> ProviderError | None:
        return next((circuit.error for circuit in self._in_order() if circuit.error is not None), None)

    def _in_order(self) -> Iterator[_Circuit]:
        if self._latest is not None:
            yield self._latest
        yield self._whole
        yield from self._parts.values()


def _concerns_all(error: ProviderError) -> bool:
    if isinstance(error, ProviderRefused):
        return error.status in _CREDENTIAL
    return not isinstance(error.__cause__, CreateOutcome)


def _told(error: ProviderError) -> float:
    """Seconds that the provider asked to be left alone for, up to a day; 0 if it did not say."""
    refusal = error.__cause__
    return min(refusal.retry_after or 0.0, _DAY) if isinstance(refusal, CapacityRefused) else 0.0


def _gist(error: ProviderError) -> tuple[type[ProviderError], str]:
    """What makes two failures the same: not the id that each refused request has of its own."""
    return type(error), _REQUEST_ID.sub("", str(error))
