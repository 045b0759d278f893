"""What an answer of the API means for us: a pure mapping from status, headers and error body to an exception.

Source of the statuses: the API's error documentation as of November 2026.
"""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime

import msgspec

from ledger.errors import ProviderError, ProviderRefused, ProviderUnreachable
from scheduler.providers.anthropic.results import refused_result
from scheduler.providers.base import (
    BatchTooLarge,
    CapacityRefused,
    CreateOutcome,
    InvalidBatch,
    ItemResult,
    SubmissionUncertain,
)

__all__ = [
    "Answer",
    "answered_at",
    "call_refused",
    "creation_refused",
    "read_answer",
    "read_refused",
    "retry_after",
]

_MESSAGE_CHARACTERS = 300

_ADVICE = {
    401: "Anthropic does not accept the credential; check ANTHROPIC_API_KEY and ANTHROPIC_BASE_URL",
    402: "Anthropic wants the account's billing settled; see the plans and billing page of the console",
    403: "the credential may not do this; check the key's workspace and permissions in the console",
    404: "nothing is there; check ANTHROPIC_BASE_URL, and that the key belongs to the batch's workspace",
}
# How the API names a part of the body: `requests.3.params…`, `custom_id`. A batch is halved only for these; a low
# credit balance or an unknown beta is a 400 as well, and would be one for every half.
_SPEAKS_OF_ITEMS = re.compile(r"\brequests\s*[.:\[]|\bcustom_ids?\b|\bparams\b|\bJSON\b", re.IGNORECASE)
_PASSING = frozenset({408, 409, 425, 429})
_SPEAKS_OF_MONEY = re.compile(r"\bcredit balance\b|\bbilling\b", re.IGNORECASE)


class Answer(msgspec.Struct, frozen=True):
    """An answer that is not a success. Header names are in lower case; `kind` is the API's own error type."""

    status: int
    headers: Mapping[str, str]
    kind: str = ""
    message: str = ""

    def __str__(self) -> str:
        said = " ".join(self.message.split())[:_MESSAGE_CHARACTERS]
        request_id = self.headers.get("request-id")
        parts = [str(self.status), self.kind, f"request {request_id}" if request_id else ""]
        label = ", ".join(part for part in parts if part)
        return f"{said} ({label})" if said else f"({label})"


class _Error(msgspec.Struct):
    type: str | None = None
    message: str | None = None


class _ErrorBody(msgspec.Struct):
    error: _Error


class ParamsRefused(Exception):
    """A standard call was refused for what it asks for; `result` says so as a batch would have."""

    def __init__(self, result: ItemResult) -> None:
        super().__init__(result.error_message)
        self.result = result


def read_answer(status: int, headers: Mapping[str, str], body: bytes) -> Answer:
    """An answer as it came. Where the body is not the API's own, kind and message are empty."""
    try:
        error = msgspec.json.decode(body, type=_ErrorBody).error
    except (msgspec.MsgspecError, UnicodeError, RecursionError):
        error = _Error()
    named = {name.lower(): value for name, value in headers.items()}
    return Answer(status=status, headers=named, kind=error.type or "", message=error.message or "")


def creation_refused(answer: Answer) -> CreateOutcome | ProviderError:
    """How an attempt to make a batch ended. What does not plainly say "no batch" is uncertain."""
    match answer.status:
        case 429 | 529:
            return CapacityRefused(f"no capacity now: {answer}", retry_after(answer.headers))
        case 413:
            return BatchTooLarge(f"the batch is too large: {answer}")
        case 400 | 422 if _SPEAKS_OF_ITEMS.search(answer.message):
            return InvalidBatch(f"the batch is invalid: {answer}")
        case 400 | 422:
            said = f"Anthropic refuses the submission as a whole; nothing is lost: {answer}"
            return ProviderRefused(said, status=answer.status, kind=answer.kind)
        case 401 | 402 | 403 | 404:
            return _refused(answer)
        case _:
            return SubmissionUncertain(f"the answer does not tell whether a batch was made: {answer}")


def call_refused(answer: Answer) -> Exception:
    """How a standard call ended. What does not plainly say "not done" is uncertain.

    Params are refused by who knows the API's error types, and not where it is the account that has no money left.
    """
    named = bool(answer.kind) or answer.status == 413
    match answer.status:
        case 429 | 529:
            return CapacityRefused(f"no capacity now: {answer}", retry_after(answer.headers))
        case 400 | 404 | 413 | 422 if named and not _SPEAKS_OF_MONEY.search(answer.message):
            return ParamsRefused(refused_result(answer.kind or "request_too_large", answer.message))
        case status if 300 <= status < 500 and status not in _PASSING:
            return _refused(answer)
        case _:
            return SubmissionUncertain(f"the answer does not tell whether the call was made: {answer}")


def read_refused(answer: Answer) -> ProviderError:
    """Why something could not be read (or canceled): a refusal, or a trouble that passes."""
    if answer.status in _PASSING or answer.status >= 500:
        return ProviderUnreachable(f"Anthropic cannot answer now: {answer}")
    return _refused(answer)


def answered_at(headers: Mapping[str, str]) -> datetime | None:
    """When the answer was made, by its own `Date`; None if it tells none that can be read."""
    try:
        told = parsedate_to_datetime(headers.get("date", ""))
    except (TypeError, ValueError):
        return None
    return told.astimezone(UTC) if told.tzinfo is not None else None


def retry_after(headers: Mapping[str, str]) -> float | None:
    """Seconds to wait as told by `retry-after-ms` or `retry-after`, None if untold.

    A date is taken relative to the answer's own `Date`, so that no clock of ours is involved.
    """
    milliseconds = _seconds(headers.get("retry-after-ms"))
    if milliseconds is not None:
        return milliseconds / 1000
    told = headers.get("retry-after")
    seconds = _seconds(told)
    if seconds is not None or told is None:
        return seconds
    try:
        gap = parsedate_to_datetime(told) - parsedate_to_datetime(headers.get("date", ""))
    except (TypeError, ValueError):
        return None
    return max(gap.total_seconds(), 0.0)


def _seconds(text: str | None) -> float | None:
    try:
        value = float(text or "")
    except ValueError:
        return None
    return value if math.isfinite(value) and value >= 0 else None


def _refused(answer: Answer) -> ProviderRefused:
    if 300 <= answer.status < 400:
        advice = "the address redirects elsewhere; set ANTHROPIC_BASE_URL to where the API is"
    else:
        advice = _ADVICE.get(answer.status, "Anthropic refuses the request")
    return ProviderRefused(f"{advice}: {answer}", status=answer.status, kind=answer.kind)
