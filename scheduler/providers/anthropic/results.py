"""A results file, line by line.

A line is `{"custom_id", "result": {"type", …}}`. `result.type` is `succeeded` (with a `message`), `errored` (with
a doubly nested `error`), `canceled` or `expired`. Fields we do not know are kept in the raw bytes and otherwise
ignored. Of a key that stands twice the last value counts, as in the SDK and every JSON reader after us; but a line
whose `type` stands twice is refused.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator

import msgspec

from scheduler.providers.base import ItemResult, ResultsUnavailable

__all__ = ["MAX_LINE_BYTES", "called_result", "parse_result", "refused_result", "split_lines"]

MAX_LINE_BYTES = 128 * 1024 * 1024
_QUOTED_CHARACTERS = 80

# A type that is not listed here is not retried: nothing says that it would pass, and it was not billed.
_RETRYABLE = frozenset({"api_error", "overloaded_error", "rate_limit_error", "timeout_error"})


class _Line(msgspec.Struct):
    custom_id: str
    result: msgspec.Raw


class _Message(msgspec.Struct):
    id: str
    model: str
    usage: msgspec.Raw
    stop_reason: str | None = None


class _Succeeded(msgspec.Struct, tag="succeeded"):
    message: _Message


class _ErrorDetail(msgspec.Struct):
    type: str
    message: str | None = None


class _ErrorResponse(msgspec.Struct):
    error: _ErrorDetail


class _Errored(msgspec.Struct, tag="errored"):
    error: _ErrorResponse


class _Canceled(msgspec.Struct, tag="canceled"):
    pass


class _Expired(msgspec.Struct, tag="expired"):
    pass


_LINE = msgspec.json.Decoder(_Line)
_RESULT = msgspec.json.Decoder(_Succeeded | _Errored | _Canceled | _Expired)


def parse_result(line: bytes) -> ItemResult:
    """One line of a results file, without its newline. `ResultsUnavailable` for anything else."""
    try:
        str(line, "utf-8")  # the decoder skips what it does not lift out, wrong bytes included
        outer = _LINE.decode(line)
        result = _RESULT.decode(outer.result)
        return _item(outer.custom_id, bytes(outer.result), result)
    except (msgspec.MsgspecError, UnicodeError, RecursionError) as error:
        raise ResultsUnavailable(f"a line of the results is unreadable ({_reason(error)}): {_quote(line)}") from error


def called_result(message: bytes) -> ItemResult:
    """The answer to a standard call, as the result that a batch would have had. `msgspec.MsgspecError` if it is none.

    Byte for byte, but on one line, as every result is.
    """
    one_line = msgspec.json.format(message, indent=-1) if b"\n" in message else message
    body = b'{"type":"succeeded","message":%b}' % one_line
    return _item("", body, _RESULT.decode(body))


def refused_result(kind: str, message: str) -> ItemResult:
    """The refusal of a standard call, likewise."""
    error = {"type": "error", "error": {"type": kind, "message": message}}
    body = msgspec.json.encode({"type": "errored", "error": error})
    return _item("", body, _RESULT.decode(body))


def split_lines(chunks: Iterable[bytes], limit: int = MAX_LINE_BYTES) -> Iterator[bytes]:
    """The lines of a byte stream, split at newlines only; blank ones are left out.

    Holds one line at a time. `ResultsUnavailable` for a line of more than `limit` bytes.
    """
    pending: list[bytes] = []
    size = 0
    for chunk in chunks:
        *ended, rest = chunk.split(b"\n")
        for piece in ended:
            yield from _line([*pending, piece], limit)
            pending.clear()
            size = 0
        pending.append(rest)
        size += len(rest)
        if size > limit:
            _line_too_long(limit)
    yield from _line(pending, limit)


def _line(pieces: list[bytes], limit: int) -> Iterator[bytes]:
    line = b"".join(pieces)
    if len(line) > limit:
        _line_too_long(limit)
    if line and not line.isspace():
        yield line


def _line_too_long(limit: int) -> None:
    raise ResultsUnavailable(f"a line of the results is longer than {limit} bytes")


def _item(custom_id: str, body: bytes, result: _Succeeded | _Errored | _Canceled | _Expired) -> ItemResult:
    match result:
        case _Succeeded(message=message):
            usage = bytes(message.usage)
            if not usage.startswith(b"{"):
                raise msgspec.ValidationError("Expected `object` - at `$.result.message.usage`")
            return ItemResult(
                custom_id=custom_id,
                kind="succeeded",
                body=body,
                model=message.model,
                message_id=message.id,
                stop_reason=message.stop_reason,
                usage=usage,
            )
        case _Errored(error=_ErrorResponse(error=detail)):
            return ItemResult(
                custom_id=custom_id,
                kind="errored",
                body=body,
                error_type=detail.type,
                error_message=detail.message,
                retryable=detail.type in _RETRYABLE,
            )
        case _Expired():
            return ItemResult(custom_id=custom_id, kind="expired", body=body, retryable=True)
        case _:
            return ItemResult(custom_id=custom_id, kind="canceled", body=body)


def _reason(error: Exception) -> str:
    match error:
        case UnicodeError():
            return "not UTF-8"
        case RecursionError():
            return "nested too deeply"
        case _:
            return str(error)


def _quote(line: bytes) -> str:
    return ascii(line[:_QUOTED_CHARACTERS].decode("utf-8", "replace"))[1:-1][:_QUOTED_CHARACTERS]
