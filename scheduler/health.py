"""Whether the provider is worth asking at the moment: a circuit breaker over its refusals and silences."""

from __future__ import annotations

import logging
import re
import threading
from typing import Final

from ledger.clock import Clock
from ledger.errors import ProviderError, ProviderRefused

__all__ = ["ProviderHealth"]

_log = logging.getLogger(__name__)

_FIRST_PAUSE: Final = 1.0
_LONGEST_PAUSE: Final = 30.0
_REQUEST_ID: Final = re.compile(r"\breq_\w+")


class ProviderHealth:
    """Shared by the steps of one worker. After a failure all of them pause, longer each time, up to 30 s.

    `error` is the failure in force, None while the provider answers.
    """

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._lock = threading.Lock()
        self._pause = _FIRST_PAUSE
        self._open_until = 0.0
        self._failing_since = 0.0
        self.error: ProviderError | None = None

    @property
    def paused(self) -> bool:
        """True while nothing should be asked of the provider."""
        return self.error is not None and self._clock.monotonic() < self._open_until

    @property
    def refused(self) -> bool:
        """True if the provider answers, but will not take the credential: waiting alone mends nothing."""
        return isinstance(self.error, ProviderRefused)

    def failing_for(self) -> float:
        """Seconds since the provider last answered as it should; 0 while it does."""
        return self._clock.monotonic() - self._failing_since if self.error is not None else 0.0

    def failed(self, error: ProviderError) -> None:
        """A step ended in this error."""
        with self._lock:
            now = self._clock.monotonic()
            if self.error is None:
                self._failing_since, self._pause = now, _FIRST_PAUSE
            if self.error is None or _gist(self.error) != _gist(error):
                _log.warning("%s", error)
            self.error = error
            self._open_until = now + self._pause
            self._pause = min(self._pause * 2, _LONGEST_PAUSE)

    def answered(self) -> None:
        """The provider answered a step as it should."""
        with self._lock:
            if self.error is not None:
                _log.info("the provider answers again")
            self.error = None


def _gist(error: ProviderError) -> tuple[type[ProviderError], str]:
    """What makes two failures the same: not the id that each refused request has of its own."""
    return type(error), _REQUEST_ID.sub("", str(error))
