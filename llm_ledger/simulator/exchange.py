"""Reading requests and spelling answers, the same for every endpoint."""

from __future__ import annotations

from typing import Any

import msgspec
from starlette.requests import Request
from starlette.responses import Response

from llm_ledger.simulator.accounts import authenticate, organization_of, read_version
from llm_ledger.simulator.clock import SECOND
from llm_ledger.simulator.errors import ApiError, error_body, invalid
from llm_ledger.simulator.faults import Fault
from llm_ledger.simulator.provider import Provider

__all__ = [
    "as_of",
    "caller",
    "fault_of",
    "json_answer",
    "page_limits",
    "provider_of",
    "read_body",
    "read_json",
    "refusal",
]


def provider_of(request: Request) -> Provider:
    provider: Provider = request.app.state.provider
    return provider


def fault_of(request: Request) -> Fault | None:
    """What the content of the answer was told to suffer."""
    fault: Fault | None = getattr(request.state, "fault", None)
    return fault


def as_of(request: Request) -> int:
    """The instant of which the answer tells: the present one, unless it is told to be stale."""
    fault = fault_of(request)
    lag = int(fault.delay_seconds * SECOND) if fault is not None and fault.kind == "stale" else 0
    return provider_of(request).clock.now() - lag


def caller(request: Request) -> tuple[str, str]:
    """Account and API version of a request. Raises ApiError 401 or 400."""
    account = authenticate(request.headers, provider_of(request).config.account_aliases)
    request.state.organization = organization_of(account)
    return account, read_version(request.headers)


async def read_body(request: Request, *, most: int) -> bytearray:
    """The body, with or without a declared length. Raises ApiError 413 above `most` bytes, after reading on
    to the end: a client that is still sending would miss the answer."""
    body = bytearray()
    size = 0
    async for chunk in request.stream():
        size += len(chunk)
        if size <= most:
            body += chunk
    if size > most:
        raise ApiError(413, f"Request exceeds the maximum allowed number of bytes ({most}).")
    return body


async def read_json(request: Request, *, most: int) -> Any:
    """The body as JSON, an empty one as an empty object. Raises ApiError 413 or 400."""
    body = await read_body(request, most=most)
    try:
        return msgspec.json.decode(body) if body else {}
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise invalid(f"The request body is not valid JSON: {error}") from error


def json_answer(content: Any, status: int = 200, headers: dict[str, str] | None = None) -> Response:
    return Response(msgspec.json.encode(content), status_code=status, headers=headers, media_type="application/json")


def refusal(error: ApiError, request_id: str | None) -> Response:
    """An error in the provider's shape."""
    headers = {} if error.retry_after is None else {"retry-after": f"{error.retry_after:g}"}
    return json_answer(error_body(error.kind, error.message, request_id), error.status, headers)


def page_limits(request: Request) -> tuple[int, str | None, str | None]:
    """`limit`, `after_id` and `before_id` of a listing. Raises ApiError 400 for a limit out of 1–1000."""
    query = request.query_params
    try:
        limit = int(query.get("limit", "20"))
    except ValueError as error:
        raise invalid("limit: Input should be a valid integer") from error
    if not 1 <= limit <= 1_000:
        raise invalid("limit: Input should be between 1 and 1000")
    return limit, query.get("after_id") or None, query.get("before_id") or None
