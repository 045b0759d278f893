"""The ledger's error tree, and what it grows here. Every error that the package raises on purpose is a `LedgerError`.

    LedgerError
    ├── InputError                          what a caller handed in is wrong; nothing was recorded
    │   ├── UnsupportedProvider             and ValueError: no provider of that name can be built here
    │   ├── UnknownModel                    and ValueError: a model that the configuration does not list
    │   └── NotWrappable                    and TypeError: an object that cannot become one of our models
    ├── ConfigurationError                  settings, price book or credentials are unusable
    │   ├── InvalidOptimizationConfig       optimisation settings with at least one problem, all of them named
    │   └── MissingIntegration              the package that speaks to a provider is not installed
    ├── BatchItemFailed                     one request of a batch ended without an answer
    └── BatchIncomplete                     waiting ended before the batch did; its requests go on

The rest of the tree is on the page of `ledger.errors`; its names can be imported from here, too.

Every error carries the values it speaks of as attributes, and one line of text that says what to do. Those that are
made here can be pickled: they come out of worker processes as they went in. No message contains a credential.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final

from ledger.errors import (
    AppendRefused,
    ChangedRequest,
    ConfigurationError,
    DatabaseUnavailable,
    DatabaseUnusable,
    IdempotencyMismatch,
    InputError,
    InvalidLine,
    InvalidRequest,
    LedgerCorrupt,
    LedgerError,
    ProviderError,
    ProviderRefused,
    ProviderUnreachable,
    SubmissionHeld,
    UnknownId,
    UsageUnreadable,
    VersionConflict,
)

__all__ = [
    "AppendRefused",
    "BatchIncomplete",
    "BatchItemFailed",
    "ChangedRequest",
    "ConfigurationError",
    "DatabaseUnavailable",
    "DatabaseUnusable",
    "IdempotencyMismatch",
    "InputError",
    "InvalidLine",
    "InvalidOptimizationConfig",
    "InvalidRequest",
    "LedgerCorrupt",
    "LedgerError",
    "MissingIntegration",
    "NotWrappable",
    "ProviderError",
    "ProviderRefused",
    "ProviderUnreachable",
    "SubmissionHeld",
    "UnknownId",
    "UnknownModel",
    "UnsupportedProvider",
    "UsageUnreadable",
    "VersionConflict",
]

# The errors below keep their values as `args`, which is what pickle makes them from again; `__str__` is their text.


class UnsupportedProvider(InputError, ValueError):
    """No provider of that name can be built here. `known` are the names that can."""

    def __init__(self, provider: str, known: Iterable[str] = ()) -> None:
        self.provider = provider
        self.known = tuple(known)
        super().__init__(provider, self.known)

    def __str__(self) -> str:
        hint = f"; use one of {', '.join(self.known)}" if self.known else ""
        return f"Unsupported provider type: {self.provider}{hint}"


class UnknownModel(InputError, ValueError):
    """The configuration does not list that model. `listed` is its `model` value, names with commas between them."""

    def __init__(self, model: str, listed: str) -> None:
        super().__init__(model, listed)
        self.model = model
        self.listed = listed

    def __str__(self) -> str:
        return f"Model name {self.model} not found in {self.listed}"


class NotWrappable(InputError, TypeError):
    """An object that is no chat model, or cannot become one of ours. `kind` is its type's name."""

    def __init__(self, kind: str, reason: str) -> None:
        super().__init__(kind, reason)
        self.kind = kind
        self.reason = reason

    def __str__(self) -> str:
        return f"{self.kind} cannot be wrapped: {self.reason}"


class InvalidOptimizationConfig(ConfigurationError):
    """Optimisation settings are unusable. `problems` names every one of them, each with its key."""

    def __init__(self, problems: Iterable[str]) -> None:
        self.problems = tuple(problems)
        super().__init__(self.problems)

    def __str__(self) -> str:
        return "optimization settings: " + "; ".join(self.problems)


class MissingIntegration(ConfigurationError):
    """`package`, which speaks to `provider`, is not installed. `extra` is the extra of llm-ledger that brings it."""

    def __init__(self, provider: str, package: str, extra: str) -> None:
        super().__init__(provider, package, extra)
        self.provider = provider
        self.package = package
        self.extra = extra

    def __str__(self) -> str:
        return f"{self.provider} needs {self.package}; pip install 'llm-ledger[{self.extra}]'"


_AFTER: Final = {
    "errored": "correct it, and submit it again",
    "succeeded": "submit it under another key",
}
"""What to do after an end; any other one can be taken back."""


class BatchItemFailed(LedgerError):
    """One request of a batch ended without an answer; the others are untouched.

    `kind` is how it ended (errored, expired, canceled, abandoned; or succeeded, if the answer was purged since),
    `error_type` and `message` are the provider's own words, or ours where nothing was sent. `may_be_paid`: it may
    have been answered, and paid for, so that nothing repeats it by itself.
    """

    def __init__(
        self,
        custom_id: str,
        kind: str,
        error_type: str | None = None,
        message: str | None = None,
        may_be_paid: bool = False,
    ) -> None:
        super().__init__(custom_id, kind, error_type, message, may_be_paid)
        self.custom_id = custom_id
        self.kind = kind
        self.error_type = error_type
        self.message = message
        self.may_be_paid = may_be_paid

    def __str__(self) -> str:
        words = ": ".join(word for word in (self.error_type, self.message) if word)
        ended = f"request {self.custom_id!r} ended as {self.kind}{f' ({words})' if words else ''}"
        if self.may_be_paid:
            return f"{ended}; it may have been answered and paid for: ask again under another key to pay once more"
        return f"{ended}; {_AFTER.get(self.kind, '`llm-ledger retry` queues it again')}"


class BatchIncomplete(LedgerError):
    """Waiting ended before the answers to `outstanding` (custom ids) were in. Nothing is lost: they go on."""

    def __init__(self, key: str, outstanding: Iterable[str]) -> None:
        self.key = key
        self.outstanding = tuple(outstanding)
        super().__init__(key, self.outstanding)

    def __str__(self) -> str:
        return (
            f"{len(self.outstanding):,} requests under key {self.key!r} are not answered yet; "
            "collect them later, or ask again with the same key"
        )
