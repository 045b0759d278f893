"""Lines of a results file: what is lifted out, what is refused."""

from __future__ import annotations

import json
from itertools import pairwise
from typing import Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from scheduler.providers.anthropic import parse_result
from scheduler.providers.anthropic.results import split_lines
from scheduler.providers.base import ItemResult, ResultsUnavailable

MESSAGE = b'{"id":"msg_1","model":"claude-x","stop_reason":"end_turn","usage":{"input_tokens": 1e2, "new":[null]}}'
RESULT = b'{"type":"succeeded" , "message":' + MESSAGE + b',"later":{}}'
SUCCESS = b' {"custom_id":"n-0","extra":1,"result":' + RESULT + b"}\r"


def errored(kind: Any) -> bytes:
    error = {"type": "error", "error": {"type": kind, "message": "no"}, "request_id": "r"}
    return json.dumps({"custom_id": "n-1", "result": {"type": "errored", "error": error}}).encode()


def test_a_success_keeps_the_bytes_of_the_provider() -> None:
    item = parse_result(SUCCESS)
    assert item == ItemResult(
        custom_id="n-0",
        kind="succeeded",
        body=RESULT,
        model="claude-x",
        message_id="msg_1",
        stop_reason="end_turn",
        usage=b'{"input_tokens": 1e2, "new":[null]}',
    )
    assert type(item.body) is bytes


@pytest.mark.parametrize(
    ("kind", "retryable"),
    [
        ("overloaded_error", True),
        ("api_error", True),
        ("timeout_error", True),
        ("rate_limit_error", True),
        ("invalid_request_error", False),
        ("authentication_error", False),
        ("permission_error", False),
        ("not_found_error", False),
        ("request_too_large", False),
        ("billing_error", False),
        ("never_heard_of", False),
    ],
)
def test_errors_and_whether_they_pass(kind: str, retryable: bool) -> None:
    item = parse_result(errored(kind))
    assert (item.kind, item.error_type, item.error_message, item.retryable) == ("errored", kind, "no", retryable)
    assert item.usage is None


def test_expired_is_retryable_and_canceled_is_not() -> None:
    expired = parse_result(b'{"custom_id":"a","result":{"type":"expired"}}')
    canceled = parse_result(b'{"custom_id":"a","result":{"type":"canceled"}}')
    assert (expired.kind, expired.retryable) == ("expired", True)
    assert (canceled.kind, canceled.retryable, canceled.body) == ("canceled", False, b'{"type":"canceled"}')


def test_of_a_key_that_stands_twice_the_last_value_counts() -> None:
    assert parse_result(b'{"custom_id":"a","custom_id":"b","result":{"type":"expired"}}').custom_id == "b"


def with_content(content: bytes) -> bytes:
    return SUCCESS.replace(b'"later":{}', b'"later":' + content)


@pytest.mark.parametrize(
    "line",
    [
        b"",
        b"null",
        b"[]",
        b"<html>",
        b"{}",
        SUCCESS[:-3],
        SUCCESS + b"x",
        b"\xef\xbb\xbf" + SUCCESS,
        SUCCESS.decode().encode("utf-16"),
        SUCCESS.replace(b'"n-0"', b"1"),
        SUCCESS.replace(b'"n-0"', b'"\\ud800"'),
        SUCCESS.replace(b'"succeeded"', b'"refused"'),
        SUCCESS.replace(b'"model"', b'"modal"'),
        SUCCESS.replace(b'"id"', b'"no"'),
        SUCCESS.replace(b'"usage"', b'"used"'),
        SUCCESS.replace(b'{"input_tokens": 1e2, "new":[null]}', b"null"),
        errored(None),
        b'{"custom_id":"a","result":null}',
        b'{"custom_id":"a","result":{"type":"errored","error":null}}',
        with_content(b"NaN"),
        with_content(b"01"),
        with_content(b'"\xff"'),
        with_content(b'"\n"'),
        with_content(b"[" * 100_000 + b"]" * 100_000),
        b"[" * 1_000_000,
    ],
)
def test_anything_else_is_unavailable_with_a_short_reason(line: bytes) -> None:
    with pytest.raises(ResultsUnavailable) as caught:
        parse_result(line)
    assert len(str(caught.value)) < 300
    assert str(caught.value).isprintable()
    assert str(caught.value).isascii()


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=8,
)


@given(
    st.binary()
    | json_values.map(lambda value: json.dumps(value).encode("utf-8", "surrogatepass"))
    | st.tuples(st.integers(0, len(SUCCESS)), st.binary(max_size=3)).map(
        lambda cut: SUCCESS[: cut[0]] + cut[1] + SUCCESS[cut[0] :]
    )
    | json_values.map(lambda value: json.dumps({"custom_id": "a", "result": value}).encode())
)
@example(b"\x00")
def test_any_bytes_are_a_result_or_unavailable(line: bytes) -> None:
    try:
        item = parse_result(line)
    except ResultsUnavailable:
        return
    json.loads(item.body)
    assert item.custom_id is not None


@given(st.lists(st.binary(max_size=12)), st.lists(st.integers(0, 60)))
def test_lines_do_not_depend_on_the_cuts(lines: list[bytes], cuts: list[int]) -> None:
    whole = b"\n".join(lines)
    places = sorted({0, len(whole), *(cut for cut in cuts if cut < len(whole))})
    chunks = [whole[start:end] for start, end in pairwise(places)]
    assert list(split_lines(chunks)) == [line for line in whole.split(b"\n") if line.strip()]


@pytest.mark.parametrize("chunks", [[b"12345", b"6"], [b"123456\n"], [b"123", b"456\n7"]])
def test_a_line_over_the_limit_is_unavailable(chunks: list[bytes]) -> None:
    with pytest.raises(ResultsUnavailable, match="longer than 5 bytes"):
        list(split_lines(chunks, limit=5))
    assert list(split_lines([b"123", b"45\n1"], limit=5)) == [b"12345", b"1"]
