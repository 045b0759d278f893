"""What the scheduler asks of a provider, and the words in which a provider answers.

One provider is one implementation of `BatchProvider`. The protocol fits inline batches (Anthropic: one POST
carries all items) and file-based ones (OpenAI format: upload, create with metadata, poll, download): `create`
is whatever it takes to make the batch exist, `results` whatever it takes to read its lines.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from datetime import datetime
from typing import Any, Literal, Protocol, runtime_checkable

import msgspec

from ledger.events import BatchCounts

__all__ = [
    "Account",
    "BatchItem",
    "BatchProvider",
    "BatchStatus",
    "BatchTooLarge",
    "CapacityRefused",
    "CreateOutcome",
    "InvalidBatch",
    "ItemResult",
    "ProviderLimits",
    "RequestFacts",
    "RequestRules",
    "ResultsUnavailable",
    "SubmissionUncertain",
]


class ProviderLimits(msgspec.Struct, frozen=True, kw_only=True):
    """What one batch may hold, and how long its results are kept. Sizes in bytes, times in seconds.

    `max_bytes` bounds the sum of `BatchItem.size`; what framing adds to a full batch is already taken off.
    """

    max_items: int
    max_bytes: int
    results_kept_seconds: int


class RequestFacts(msgspec.Struct, frozen=True, kw_only=True):
    """What the ledger records about a request's params, so that later questions need no body.

    `betas` sorted; `api_version` the header the request must travel under; `estimated_input_tokens` and the
    token figures in `prefix` are estimates. `markers`: cache breakpoints carried, automatic one included.
    `prefix`: one entry per cacheable block in prefix order (tools, system, messages):
    (cumulative hash as 16 hex digits, estimated tokens up to and including the block, marked).
    """

    model: str
    max_tokens: int
    api_version: str
    betas: tuple[str, ...] = ()
    estimated_input_tokens: int = 0
    markers: int = 0
    prefix: tuple[tuple[str, int, bool], ...] = ()


@runtime_checkable
class RequestRules(Protocol):
    """The half of a provider that needs neither key nor network: which params it would take."""

    name: str
    limits: ProviderLimits

    def check(self, params: dict[str, Any]) -> RequestFacts:
        """The facts of valid params; `InvalidRequest` for params that the provider would refuse."""
        ...


class Account(msgspec.Struct, frozen=True, kw_only=True):
    """Whose batches these are. `credential` is a keyed hash: it tells keys apart and reveals none."""

    base_url: str
    credential: str
    workspace: str | None = None
    organization: str | None = None


class BatchItem(msgspec.Struct, frozen=True):
    """One item of a batch body: the wire id, and the params byte for byte as the caller gave them."""

    custom_id: str
    params: bytes

    @property
    def size(self) -> int:
        """What the item counts in the `size` of a batch: bytes of its id and of its params."""
        return len(self.custom_id) + len(self.params)


class BatchStatus(msgspec.Struct, frozen=True, kw_only=True):
    """A batch as the provider reports it. Times are UTC; all counts but `processing` stay 0 until it ended."""

    id: str
    state: Literal["in_progress", "canceling", "ended"]
    created_at: datetime
    expires_at: datetime
    processing: int
    succeeded: int
    errored: int
    canceled: int
    expired: int
    ended_at: datetime | None = None
    results_url: str | None = None

    @property
    def total(self) -> int:
        """Number of items in the batch (constant over its life)."""
        return self.processing + self.succeeded + self.errored + self.canceled + self.expired

    @property
    def counts(self) -> BatchCounts:
        """Items by state, as events tell it."""
        return BatchCounts(
            processing=self.processing,
            succeeded=self.succeeded,
            errored=self.errored,
            canceled=self.canceled,
            expired=self.expired,
        )


class ItemResult(msgspec.Struct, frozen=True, kw_only=True):
    """One line of a results file.

    `body` is the provider's own `result` value, byte for byte. For a success `model`, `message_id`,
    `stop_reason` and the raw `usage` object are lifted out; for an error its type and message.
    """

    custom_id: str
    kind: Literal["succeeded", "errored", "canceled", "expired"]
    body: bytes
    model: str | None = None
    message_id: str | None = None
    stop_reason: str | None = None
    usage: bytes | None = None
    error_type: str | None = None
    error_message: str | None = None
    retryable: bool = False


# How a create or a call can fail. Credentials, addresses and whatever else concerns no item raise
# ledger.errors.ProviderRefused (401, 402, 403, 404, a 400 that speaks of no item); a connection that was never made
# raises ledger.errors.ProviderUnreachable: both leave nothing behind.


class CreateOutcome(Exception):
    """Root of the ways a create can end without a batch in hand, and a call without an answer."""


class CapacityRefused(CreateOutcome):
    """429 or 529: nothing was made, ask again. `retry_after` in seconds where the provider said so."""

    def __init__(self, message: str, retry_after: float | None = None) -> None:
        super().__init__(message)
        self.retry_after = retry_after


class BatchTooLarge(CreateOutcome):
    """413: nothing was made; halve the batch."""


class InvalidBatch(CreateOutcome):
    """400 or 422: nothing was made; some item is refused."""


class SubmissionUncertain(CreateOutcome):
    """Anything else (timeout, reset, 408, 409, 5xx): a batch may exist, and only the provider's list can tell.

    Of a call: it may have been answered and billed, and nobody can tell.
    """


class ResultsUnavailable(Exception):
    """The results cannot be read now (404 right after the end, cut off, malformed line): read again later."""


class BatchProvider(Protocol):
    """A provider's batch API. Every method is blocking and safe to call from several threads."""

    name: str
    limits: ProviderLimits

    def account(self) -> Account:
        """The account that the present credential speaks for. No network."""
        ...

    def provider_time(self) -> datetime | None:
        """The provider's clock as of its latest answer, UTC: a lower bound of its present time. No network.

        None before the first answer, or where answers carry no time.
        """
        ...

    def newest_batch(self) -> BatchStatus | None:
        """The newest batch of this account, None if it has none."""
        ...

    def create(
        self,
        items: Callable[[], Iterable[BatchItem]],
        *,
        size: int,
        count: int,
        api_version: str,
        betas: tuple[str, ...],
        before_send: Callable[[], None],
    ) -> BatchStatus:
        """Make one batch, in one attempt that is never repeated here.

        `items()` yields the items in order and is called at most once; `size` is the exact sum of their
        `BatchItem.size`. `before_send` runs immediately before the first byte of the body leaves (not at all if
        no connection was made) and may raise to stop it. What it or `items` raises comes out as it is, and no
        batch was made. Else raises a `CreateOutcome`, `ProviderRefused` or `ProviderUnreachable`.
        """
        ...

    def call(
        self, params: bytes, *, api_version: str, betas: tuple[str, ...], before_send: Callable[[], None]
    ) -> ItemResult:
        """One standard request, in one attempt that is never repeated here. Params are those of a batch item.

        Returns the answer as a batch would have (its `body` in the same shape, its `custom_id` of no meaning):
        `succeeded`, or `errored` where the provider refuses these params. `before_send` as for `create`. Else
        raises `CapacityRefused`, `SubmissionUncertain`, `ProviderRefused` or `ProviderUnreachable`.
        """
        ...

    def retrieve(self, batch_id: str) -> BatchStatus:
        """The batch now. `ProviderRefused` with status 404 where it does not (yet) exist."""
        ...

    def list_newer(self, than: str | None) -> Iterator[BatchStatus]:
        """Batches newer than the given id, newest first; every batch if None."""
        ...

    def results(self, batch_id: str) -> Iterator[ItemResult]:
        """The results of an ended batch, line by line, in any order. Raises `ResultsUnavailable`."""
        ...

    def cancel(self, batch_id: str) -> BatchStatus:
        """Ask the provider to stop the batch."""
        ...

    def close(self) -> None:
        """Let go of connections. May be repeated; a later call opens new ones."""
        ...
