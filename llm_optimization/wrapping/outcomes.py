"""What an error of a provider's client says about the bill.

Every SDK has errors of its own, so they are told apart by what they carry: a status, a cause, a name.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from traceback import walk_tb
from typing import Any, Final

from llm_optimization.recording.calls import CostUnknown, Refused

__all__ = ["is_refusal", "names_cache_markers", "outcome_of", "status_of"]

# A conflict or a timeout that the server reports may come after the work was done.
_NOT_REFUSALS: Final = frozenset({408, 409, 499})
_OVERLOADED: Final = 529

# Exceptions of httpx, requests, urllib3, aiohttp, botocore and the socket module for a connection that nobody made.
_NEVER_CONNECTED: Final = frozenset(
    {
        "ClientConnectorError",
        "ConnectError",
        "ConnectTimeout",
        "ConnectTimeoutError",
        "ConnectionRefusedError",
        "EndpointConnectionError",
        "NewConnectionError",
        "PoolTimeout",
        "gaierror",
    }
)
# Those of httpx and requests for a request that cannot be sent at all, to nobody.
_UNSENDABLE: Final = frozenset(
    {"InvalidHeader", "InvalidSchema", "InvalidURL", "MissingSchema", "UnsupportedProtocol"}
)
_CANCELED: Final = frozenset({"CancelledError", "GeneratorExit", "KeyboardInterrupt", "SystemExit"})
_DEPTH: Final = 8


def outcome_of(error: BaseException, *, began: bool = False) -> Refused | CostUnknown:
    """How a call ended that ended in `error`. `began`: a part of the answer was there already.

    Refused, and billed nothing: the provider said so by its status (see `is_refusal`), or was never sent a byte.
    Anything else may have been answered, and billed.
    """
    if began and isinstance(error, GeneratorExit):
        return CostUnknown("the stream was left before its end")
    if began:
        return CostUnknown(f"the answer broke off: {_kind(error)}")
    status = status_of(error)
    if status is not None and is_refusal(status):
        return Refused(_error_type(error), _text(error), status)
    if status is not None and status >= 400:
        return CostUnknown(f"the provider answered with status {status}: {_kind(error)}")
    if _canceled(error):
        return CostUnknown(f"the call was given up before its answer: {type(error).__name__}")
    unsent = _unsent(error)
    if unsent is not None:
        return Refused("connection_error", unsent)
    return CostUnknown(f"the answer was lost: {_kind(error)}")


def is_refusal(status: int) -> bool:
    """Whether that status says that nothing was done: 4xx but for 408, 409 and 499, or 529 (overloaded)."""
    return status == _OVERLOADED or (400 <= status < 500 and status not in _NOT_REFUSALS)


def status_of(error: BaseException) -> int | None:
    """The HTTP status that an error carries, as `status_code`, `code`, or in its `response`."""
    response = getattr(error, "response", None)
    if isinstance(response, Mapping):  # botocore's
        metadata = response.get("ResponseMetadata")
        found = metadata.get("HTTPStatusCode") if isinstance(metadata, Mapping) else None
        return _status(found)
    for holder, name in ((error, "status_code"), (response, "status_code"), (error, "code"), (error, "http_status")):
        status = _status(getattr(holder, name, None))
        if status is not None:
            return status
    return None


def names_cache_markers(error: BaseException) -> bool:
    """Whether the provider refused a request, with 400, because of its cache markers."""
    return status_of(error) == 400 and ("cache_control" in str(error) or "cache_control" in _text(error))


def _status(value: Any) -> int | None:
    return int(value) if isinstance(value, int) and not isinstance(value, bool) and 100 <= value < 600 else None


def _canceled(error: BaseException) -> bool:
    return bool(_names(error) & _CANCELED)


def _names(error: BaseException) -> set[str]:
    return {kind.__name__ for kind in type(error).__mro__}


def _unsent(error: BaseException) -> str | None:
    """Why no byte of the request left; None if one may have."""
    for cause in _causes(error):
        if _names(cause) & _NEVER_CONNECTED:
            return f"the provider was not reached: {_kind(error)}"
        if _names(cause) & _UNSENDABLE or _is_of_headers(cause):
            return f"the request cannot be sent: {_kind(cause)}"
    return None


def _is_of_headers(error: BaseException) -> bool:
    """Whether the HTTP library makes no request of these headers, such as a key that ends in a newline.

    The name alone does not tell: a body that is longer than announced is such an error, too, when it has left.
    """
    return "LocalProtocolError" in _names(error) and any(
        frame.f_code.co_name == "_send_request_headers" for frame, _ in walk_tb(error.__traceback__)
    )


def _causes(error: BaseException) -> Iterator[BaseException]:
    """The error and what it came from, the next first."""
    seen: BaseException | None = error
    for _ in range(_DEPTH):
        if seen is None:
            return
        yield seen
        seen = seen.__cause__ or _caught_for(seen)


def _caught_for(error: BaseException) -> BaseException | None:
    """The exception in whose handler `error` was raised.

    Python notes any exception that is being handled meanwhile: the application's, too, which calls a second provider
    because the first was not reached. So it counts only if the function that caught it is the one that raised.
    """
    context = error.__context__
    if context is None or context.__traceback__ is None:
        return None
    raised_in = [frame for frame, _ in walk_tb(error.__traceback__)][-1:]
    return context if raised_in == [context.__traceback__.tb_frame] else None


def _body(error: BaseException) -> Mapping[str, Any]:
    """The error object in the provider's answer, `{"error": {...}}` taken off; empty where there is none."""
    body = getattr(error, "body", None)
    inner = body.get("error", body) if isinstance(body, Mapping) else None
    return inner if isinstance(inner, Mapping) else {}


def _error_type(error: BaseException) -> str:
    kind = _body(error).get("type") or getattr(error, "type", None)
    return kind if isinstance(kind, str) and kind else type(error).__name__


def _text(error: BaseException) -> str:
    told = _body(error).get("message")
    return told if isinstance(told, str) and told else str(error) or type(error).__name__


def _kind(error: BaseException) -> str:
    return type(error).__name__
