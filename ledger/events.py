"""The event catalogue: what can have happened, under stable names that are never class paths.

Streams are `request/<id>`, `batch/<id>`, `prices/<provider>` and `config/<id>`. Bodies (params, results) are not
in events; the SHA-256 of their bytes is, as 64 hex digits. Tokens are counts, sizes bytes, instants UTC.
"""

from __future__ import annotations

from datetime import datetime
from typing import ClassVar, Final, Literal
from uuid import UUID

import msgspec

__all__ = [
    "CATALOGUE",
    "BatchCancelRequested",
    "BatchDuplicateDetected",
    "BatchEnded",
    "BatchFailed",
    "BatchPlanned",
    "BatchPolled",
    "BatchResultsCollected",
    "BatchSubmissionRefused",
    "BatchSubmissionReleased",
    "BatchSubmissionStarted",
    "BatchSubmissionUncertain",
    "BatchSubmitted",
    "CacheUsageRecorded",
    "ConfigChanged",
    "ConfigRejected",
    "EventData",
    "NewEvent",
    "PriceBookAdopted",
    "RecordedEvent",
    "RequestAbandoned",
    "RequestBatched",
    "RequestCallStarted",
    "RequestCanceled",
    "RequestCostUnknown",
    "RequestExpired",
    "RequestFailed",
    "RequestRecorded",
    "RequestRetryScheduled",
    "RequestSucceeded",
    "batch_stream",
    "prices_stream",
    "request_stream",
]

_ABSENT: Final = msgspec.Raw(b"null")  # a union of Raw and None can be written, but not read

Processing = Literal["batch", "standard"]
Role = Literal["result", "duplicate"]


class EventData(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """What an event says. Fields may be added with a default; anything else is a new schema version."""

    TYPE: ClassVar[str]
    SCHEMA_VERSION: ClassVar[int] = 1


# --- request/<id> --------------------------------------------------------------------------------------------


class RequestRecorded(EventData, frozen=True, kw_only=True):
    """Somebody wants this answered. (`key`, `custom_id`) is its identity, `params_hash` tells params apart."""

    TYPE = "request.recorded"
    key: str
    custom_id: str
    provider: str
    model: str
    mode: Processing
    api_version: str
    params_hash: str
    payload: str | None
    size: int
    max_tokens: int
    estimated_input_tokens: int
    betas: tuple[str, ...] = ()
    tags: dict[str, str] = {}
    markers: int = 0
    prefix: tuple[tuple[str, int, bool], ...] = ()


class RequestBatched(EventData, frozen=True, kw_only=True):
    """It became item `index` of a batch; its wire id will be `<nonce>-<index>`."""

    TYPE = "request.batched"
    batch_id: str
    index: int
    attempt: int


class RequestCallStarted(EventData, frozen=True, kw_only=True):
    """A standard call is about to be made for it, instead of a batch. After `deadline` its caller is gone."""

    TYPE = "request.call_started"
    attempt: int
    deadline: datetime
    account: msgspec.Raw


class RequestSucceeded(EventData, frozen=True, kw_only=True):
    """The provider answered. `result` is the SHA-256 of the provider's own result, byte for byte."""

    TYPE = "request.succeeded"
    model: str
    result: str
    size: int
    processing: Processing
    batch_id: str | None = None
    batch_index: int | None = None
    message_id: str | None = None
    stop_reason: str | None = None


class CacheUsageRecorded(EventData, frozen=True, kw_only=True):
    """One billed item: the provider's usage object, raw. The only place where usage lives.

    `billed_at` is the price instant: the batch's creation for a batch item, the response for a call.
    """

    TYPE = "cache_usage.recorded"
    role: Role
    provider: str
    model: str
    processing: Processing
    billed_at: datetime
    usage: msgspec.Raw
    batch_id: str | None = None
    batch_index: int | None = None


class RequestFailed(EventData, frozen=True, kw_only=True):
    """An attempt ended in an error of the provider's; unretryable ones end the request."""

    TYPE = "request.failed"
    error_type: str
    message: str
    retryable: bool
    batch_id: str | None = None
    batch_index: int | None = None
    result: str | None = None
    size: int = 0


class RequestExpired(EventData, frozen=True, kw_only=True):
    """An attempt ended because its batch ran out of its 24 hours."""

    TYPE = "request.expired"
    batch_id: str
    batch_index: int


class RequestCanceled(EventData, frozen=True, kw_only=True):
    """It was canceled, with its batch or by hand (then with a `reason`)."""

    TYPE = "request.canceled"
    batch_id: str | None = None
    batch_index: int | None = None
    reason: str | None = None


class RequestRetryScheduled(EventData, frozen=True, kw_only=True):
    """It goes back into the queue, not before `due_at`; for a batch, or for a standard call of its own.

    `by_hand` opens a request anew that had ended without an answer, and counts its attempts from `attempt`.
    """

    TYPE = "request.retry_scheduled"
    attempt: int
    due_at: datetime
    reason: str
    processing: Processing = "batch"
    by_hand: bool = False


class RequestAbandoned(EventData, frozen=True, kw_only=True):
    """No more attempts will be made."""

    TYPE = "request.abandoned"
    reason: str
    attempts: int


class RequestCostUnknown(EventData, frozen=True, kw_only=True):
    """Something may have been billed that nobody can read any more.

    `batch_id` and `batch_index` where this is all that is told of a batch's item: its request had ended before.
    """

    TYPE = "request.cost_unknown"
    reason: str
    batch_id: str | None = None
    batch_index: int | None = None


# --- batch/<id> ----------------------------------------------------------------------------------------------


class BatchPlanned(EventData, frozen=True, kw_only=True):
    """These requests will travel together. Carries the policy and configuration it was planned under.

    `twin_of` names the batch of ours whose intent the provider carried out a second time: what is planned then is
    only to see the twin end, and what it cost.
    """

    TYPE = "batch.planned"
    provider: str
    api_version: str
    betas: tuple[str, ...]
    request_count: int
    size: int
    reason: str
    policy: msgspec.Raw
    config_version: str | None = None
    parent: str | None = None
    twin_of: str | None = None


class BatchSubmissionStarted(EventData, frozen=True, kw_only=True):
    """The intent to POST, written before it. After `deadline` its sender no longer may send.

    `newest_before` is the provider's newest batch at that time, made at `noted_at`; None where there was none.
    `reserved` is what the batch may cost at most, in pico-USD, held back from the budget until it is collected.
    """

    TYPE = "batch.submission_started"
    nonce: str
    deadline: datetime
    newest_before: str | None
    account: msgspec.Raw
    noted_at: datetime | None = None
    reserved: int | None = None


class BatchSubmitted(EventData, frozen=True, kw_only=True):
    """The provider has it. `adopted` where the id was found afterwards, by proof, not in a response."""

    TYPE = "batch.submitted"
    provider_batch_id: str
    created_at: datetime
    expires_at: datetime
    next_poll_at: datetime
    nonce: str
    adopted: bool = False


class BatchSubmissionRefused(EventData, frozen=True, kw_only=True):
    """The provider did not take it, and made nothing. Submitted again from `due_at`."""

    TYPE = "batch.submission_refused"
    reason: str
    due_at: datetime


class BatchSubmissionUncertain(EventData, frozen=True, kw_only=True):
    """Nobody knows whether the provider has it. Only its list of batches can tell."""

    TYPE = "batch.submission_uncertain"
    reason: str
    check_at: datetime


class BatchSubmissionReleased(EventData, frozen=True, kw_only=True):
    """It is certain enough that the provider never had it; it may be submitted anew."""

    TYPE = "batch.submission_released"
    reason: str


class BatchCounts(msgspec.Struct, frozen=True, kw_only=True):
    """Items by state, as the provider reports them."""

    processing: int = 0
    succeeded: int = 0
    errored: int = 0
    canceled: int = 0
    expired: int = 0


class BatchPolled(EventData, frozen=True, kw_only=True):
    """The provider was asked how the batch is doing, or the question failed (`problem`).

    `provider_time` is the provider's own clock at its answer: quiet times are measured on it. `account` is set where
    the batch was found to be visible under another credential of the same account, whose it is from then on.
    `lacking` says what a look for the results did not find: `everything`, or a digest of the missing items.
    """

    TYPE = "batch.polled"
    next_poll_at: datetime
    state: str | None = None
    counts: BatchCounts | None = None
    problem: str | None = None
    provider_time: datetime | None = None
    account: msgspec.Raw = _ABSENT
    lacking: str | None = None


class BatchEnded(EventData, frozen=True, kw_only=True):
    """The provider is done with every item; the results can be read."""

    TYPE = "batch.ended"
    ended_at: datetime
    counts: BatchCounts


class BatchResultsCollected(EventData, frozen=True, kw_only=True):
    """Every item is checked off. The figures tell what the results file held: `counts` its items by kind (None where
    it was never read), besides them lines of others and repeated ones; `missing` items are given up as lost.
    """

    TYPE = "batch.results_collected"
    lines: int
    foreign: int = 0
    repeated: int = 0
    missing: int = 0
    counts: BatchCounts | None = None


class BatchCancelRequested(EventData, frozen=True, kw_only=True):
    """Somebody asked the provider to stop it."""

    TYPE = "batch.cancel_requested"
    reason: str


class BatchFailed(EventData, frozen=True, kw_only=True):
    """The batch as such comes to nothing; its requests go on elsewhere."""

    TYPE = "batch.failed"
    reason: str


class BatchDuplicateDetected(EventData, frozen=True, kw_only=True):
    """The provider holds a second batch of ours for the same intent. `twin_id` is its own id in this ledger."""

    TYPE = "batch.duplicate_detected"
    provider_batch_id: str
    nonce: str
    twin_id: str | None = None


# --- prices/<provider>, config/<id> --------------------------------------------------------------------------


class PriceBookAdopted(EventData, frozen=True, kw_only=True):
    """From here on usage is priced by this book, whole and verbatim, so that every answer stays reproducible."""

    TYPE = "price_book.adopted"
    digest: str
    book: msgspec.Raw


class ConfigChanged(EventData, frozen=True, kw_only=True):
    """A configuration came into force."""

    TYPE = "config.changed"
    version: str
    config: msgspec.Raw


class ConfigRejected(EventData, frozen=True, kw_only=True):
    """A configuration was refused as a whole; the last good one stays in force."""

    TYPE = "config.rejected"
    problems: tuple[str, ...]


CATALOGUE: Final[dict[str, type[EventData]]] = {cls.TYPE: cls for cls in EventData.__subclasses__()}
"""Every event type by its name."""


class NewEvent(msgspec.Struct, frozen=True, gc=False):
    """An event about to be appended. `version` is the one it will have: 1 opens a stream."""

    stream_id: str
    version: int
    data: EventData
    event_id: UUID
    occurred_at: datetime
    correlation_id: UUID | None = None
    causation_id: UUID | None = None


class RecordedEvent(msgspec.Struct, frozen=True, gc=False):
    """An event as it stands in the log, current schema version, with its place in the hash chain."""

    position: int
    stream_id: str
    version: int
    event_id: UUID
    type: str
    schema_version: int
    occurred_at: datetime
    recorded_at: datetime
    correlation_id: UUID | None
    causation_id: UUID | None
    data: EventData
    body_hash: bytes
    hash: bytes


def request_stream(request_id: str) -> str:
    """The stream of one request."""
    return f"request/{request_id}"


def batch_stream(batch_id: str) -> str:
    """The stream of one batch."""
    return f"batch/{batch_id}"


def prices_stream(provider: str) -> str:
    """The stream of a provider's price books."""
    return f"prices/{provider}"
