"""Errors in the provider's own shape."""

from __future__ import annotations

from typing import Any

__all__ = ["ERROR_KINDS", "ApiError", "error_body", "invalid", "not_found"]

ERROR_KINDS: dict[int, str] = {
    400: "invalid_request_error",
    401: "authentication_error",
    402: "billing_error",
    403: "permission_error",
    404: "not_found_error",
    408: "timeout_error",
    409: "conflict_error",
    413: "request_too_large",
    429: "rate_limit_error",
    500: "api_error",
    502: "api_error",
    503: "api_error",
    504: "timeout_error",
    529: "overloaded_error",
}


class ApiError(Exception):
    """An answer with an error status. `retry_after` in seconds, None for no such header."""

    def __init__(self, status: int, message: str, *, retry_after: float | None = None) -> None:
        super().__init__(message)
        self.status = status
        self.kind = ERROR_KINDS.get(status, "api_error")
        self.message = message
        self.retry_after = retry_after

    def again(self) -> ApiError:
        """The same error, free of the traceback of an earlier raise."""
        return ApiError(self.status, self.message, retry_after=self.retry_after)


def invalid(message: str) -> ApiError:
    """400: the request itself is wrong."""
    return ApiError(400, message)


def not_found(message: str) -> ApiError:
    """404: no such thing in this account."""
    return ApiError(404, message)


def error_body(kind: str, message: str, request_id: str | None) -> dict[str, Any]:
    """`{"type": "error", "error": {"type", "message"}, "request_id"}`, as answered and as kept in results."""
    return {"type": "error", "error": {"type": kind, "message": message}, "request_id": request_id}
