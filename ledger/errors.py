"""The one error tree.

    LedgerError
    ├── InputError                 what a caller handed in is wrong; nothing was recorded
    │   ├── InvalidRequest         params that the provider would refuse
    │   ├── InvalidLine            a line of a submitted file, with its number
    │   ├── ChangedRequest         a known identity (key, custom_id) with other params
    │   └── UnknownId              an id that the ledger does not hold
    ├── ConfigurationError         settings, price book or credentials are unusable
    │   └── DatabaseUnusable       read-only, foreign, unreachable, too new
    │       └── DatabaseUnavailable  for the moment: restarted, busy, full; the same again may well succeed
    ├── AppendRefused              the log did not take the events; nothing of the append is stored
    │   ├── VersionConflict        somebody else appended to the stream first: read again, decide again
    │   └── IdempotencyMismatch    an event id exists already with another body or in another stream
    ├── LedgerCorrupt              stored rows contradict their hashes or each other
    ├── SubmissionHeld             our own rules (the budget) keep something from being sent; it stays queued
    ├── UsageUnreadable            a provider's usage object cannot be priced: its cost is unknown
    └── ProviderError              the provider refused or cannot be reached; requests stay queued
        ├── ProviderRefused        it answered, and will not take this credential or request
        └── ProviderUnreachable    it did not answer

Every error carries the values it speaks of as attributes, and one line of text that says what to do.
No message contains a credential.
"""

from __future__ import annotations

__all__ = [
    "AppendRefused",
    "ChangedRequest",
    "ConfigurationError",
    "DatabaseUnavailable",
    "DatabaseUnusable",
    "IdempotencyMismatch",
    "InputError",
    "InvalidLine",
    "InvalidRequest",
    "LedgerCorrupt",
    "LedgerError",
    "ProviderError",
    "ProviderRefused",
    "ProviderUnreachable",
    "SubmissionHeld",
    "UnknownId",
    "UsageUnreadable",
    "VersionConflict",
]


class LedgerError(Exception):
    """Root of every error that llm-ledger raises on purpose."""


class InputError(LedgerError):
    """What a caller handed in is wrong; nothing of it was recorded."""


class InvalidRequest(InputError):
    """Params that the provider would refuse, found before they are sent.

    `path` is the place inside the params (`messages.0.content`), `reason` one sentence.
    """

    def __init__(self, path: str, reason: str) -> None:
        super().__init__(f"{path}: {reason}" if path else reason)
        self.path = path
        self.reason = reason


class InvalidLine(InputError):
    """A line of a submitted file is unusable. `line` counts from 1."""

    def __init__(self, line: int, reason: str) -> None:
        super().__init__(f"line {line}: {reason}")
        self.line = line
        self.reason = reason


class ChangedRequest(InputError):
    """A request under a known (key, custom_id) came with other params."""

    def __init__(self, key: str, custom_id: str, line: int | None = None) -> None:
        where = f"line {line}: " if line is not None else ""
        super().__init__(
            f"{where}request {custom_id!r} is already recorded under key {key!r} with other params; "
            "give it another custom_id, or submit under another --key"
        )
        self.key = key
        self.custom_id = custom_id
        self.line = line


class UnknownId(InputError):
    """An id or prefix that names nothing, or `several` things, in this ledger."""

    def __init__(
        self, wanted: str, reason: str = "nothing in this ledger has that id", *, several: bool = False
    ) -> None:
        super().__init__(f"{wanted}: {reason}")
        self.wanted = wanted
        self.several = several


class ConfigurationError(LedgerError):
    """A setting, the price book or a credential is missing or unusable."""


class DatabaseUnusable(ConfigurationError):
    """The database cannot serve as a ledger: read-only, foreign, unreachable or from a newer release."""


class DatabaseUnavailable(DatabaseUnusable):
    """The database cannot be used for the moment: it is restarted, out of reach, locked or out of room.

    A transaction that ends in it is not stored, or is stored and its acknowledgement was lost; an append of the
    same events again tells which, and stores them once. Who waits and tries again loses nothing.

    `lost` is True if the connection broke: the next one may do at once.
    """

    def __init__(self, message: str, *, lost: bool = False) -> None:
        super().__init__(message)
        self.lost = lost


class AppendRefused(LedgerError):
    """The log did not take the events; nothing of the append is stored."""


class VersionConflict(AppendRefused):
    """The stream is not where the caller believed: read it again and decide again."""

    def __init__(self, stream_id: str, expected: int, actual: int) -> None:
        super().__init__(f"{stream_id}: expected {expected} as next version, but the stream is at {actual}")
        self.stream_id = stream_id
        self.expected = expected
        self.actual = actual


class IdempotencyMismatch(AppendRefused):
    """An event id is already stored with another body or in another stream. `stream_id` is where it lies."""

    def __init__(self, event_id: str, stream_id: str) -> None:
        super().__init__(f"{stream_id}: event {event_id} is already stored there, and is not the same")
        self.event_id = event_id
        self.stream_id = stream_id


class LedgerCorrupt(LedgerError):
    """Stored rows contradict their hashes or each other."""


class UsageUnreadable(LedgerError):
    """A provider's usage object cannot be priced without guessing, so its cost is unknown.

    `path` is the place in the object (`usage.iterations[0].type`), `reason` says what stands there.
    """

    def __init__(self, path: str, reason: str) -> None:
        super().__init__(f"{path}: {reason}")
        self.path = path
        self.reason = reason


class SubmissionHeld(LedgerError):
    """Our own rules keep something from being sent for the time being; nothing is lost."""


class ProviderError(LedgerError):
    """The provider refused or cannot be reached. Nothing is lost: requests stay queued."""


class ProviderRefused(ProviderError):
    """The provider answered, and will not take this credential or request.

    `status` is the HTTP status, `kind` the provider's own error type.
    """

    def __init__(self, message: str, *, status: int, kind: str) -> None:
        super().__init__(message)
        self.status = status
        self.kind = kind


class ProviderUnreachable(ProviderError):
    """The provider did not answer."""
