"""Projection rows as the folds change them. Fields stand in the order of the table's columns."""

from __future__ import annotations

from typing import Final

import msgspec

from ledger.events import EventData

__all__ = ["FACTS", "TERMINAL", "BatchRow", "Fact", "RequestRow"]

TERMINAL: Final = frozenset({"succeeded", "errored", "canceled", "abandoned"})
"""Request statuses that no later event changes: the first terminal outcome wins."""


class Fact(msgspec.Struct, frozen=True, gc=False):
    """An event, as a fold sees it. `entity` is the stream id without its category; times in microseconds."""

    position: int
    entity: str
    version: int
    occurred_at: int
    recorded_at: int
    data: EventData


FACTS: Final = 18
"""Fields of a `RequestRow` that stand in `requests`; the rest stand in `request_states`, behind its key."""


class RequestRow(msgspec.Struct, gc=False):
    """One request: what was recorded of it, then how it stands. Status:

    queued     waiting to be batched (not before `due_at`)  → batched
    called     a standard call of an application            → succeeded, errored
    batched    item of a batch                              → succeeded, errored, failed, expired, canceled, queued
    failed     a retryable error, retry not yet decided     → queued, fallback, abandoned
    expired    its batch expired, retry not yet decided     → queued, fallback, abandoned
    fallback   waiting for a standard call of ours          → calling
    calling    that call is under way, until `due_at`       → succeeded, errored, failed, fallback, abandoned
    succeeded, errored, canceled, abandoned                 terminal; all but the first can be opened again by hand
    """

    seq: int
    id: str
    key: str
    custom_id: str
    provider: str
    model: str
    mode: str
    api_version: str
    betas: str
    tags: str
    params_hash: bytes
    payload: bytes
    size: int
    max_tokens: int
    estimated_input_tokens: int
    markers: int
    prefix: bytes | None
    recorded_at: int
    version: int
    status: str
    attempts: int = 0
    due_at: int | None = None
    batch_id: str | None = None
    batch_index: int | None = None
    result: bytes | None = None
    response_model: str | None = None
    error_type: str | None = None
    error_message: str | None = None
    finished_at: int | None = None
    usage: str = "[]"
    """What was billed for it: a JSON array of (role, price key, billed_at, the six counts of `Tokens`)."""


class BatchRow(msgspec.Struct):
    """One batch. Status:

    planned      to be submitted                              → submitting
    submitting   a worker may be sending it, until `deadline` → in_progress, planned, uncertain, failed
    uncertain    nobody knows whether the provider has it     → in_progress, planned
    in_progress  the provider works on it                     → canceling, ended
    canceling    the provider was asked to stop               → ended
    ended        results can be read                          → collected
    collected, failed                                         terminal

    `due_at` is when the next step is due, None when none is. `nonces` are all that were ever sent, as JSON.
    `twin_of` is the batch of ours that the provider carried out twice, where this is the second one. `reserved` is
    held back from the budget, in pico-USD, from the submission until what it cost is known.
    """

    id: str
    seq: int
    version: int
    status: str
    provider: str
    api_version: str
    betas: str
    request_count: int
    size: int
    planned_at: int
    due_at: int | None
    submissions: int = 0
    nonce: str | None = None
    nonces: str = "[]"
    deadline: int | None = None
    newest_before: str | None = None
    account: str | None = None
    provider_batch_id: str | None = None
    created_at: int | None = None
    expires_at: int | None = None
    ended_at: int | None = None
    polls: int = 0
    counts: str | None = None
    settled: int = 0
    note: str | None = None
    twin_of: str | None = None
    reserved: int | None = None
