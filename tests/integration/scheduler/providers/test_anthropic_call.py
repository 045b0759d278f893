"""A standard call: what goes over the wire, and what every way of its ending is called."""

from __future__ import annotations

import json
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any

import pytest

from ledger.errors import ProviderRefused, ProviderUnreachable
from scheduler.providers.anthropic import AnthropicBatches
from scheduler.providers.base import CapacityRefused, ItemResult, SubmissionUncertain

PARAMS = '{"model": "m",  "max_tokens":1e0, "messages":"ü"}'.encode()
MESSAGE = b'{"id":"msg_1","model":"m-1","stop_reason":"end_turn","usage":{"input_tokens":1e0},"new":1.50}'


def call(
    provider: AnthropicBatches, *, betas: tuple[str, ...] = (), before_send: Callable[[], None] = lambda: None
) -> ItemResult:
    return provider.call(PARAMS, api_version="2023-06-01", betas=betas, before_send=before_send)


def test_the_params_are_the_body_as_given(server, script, provider) -> None:
    server.play(script.answer(200, MESSAGE, date="Sun, 22 Nov 2026 10:00:00 GMT"))
    result = call(provider, betas=("a-1", "b-2"))
    request = server.requests[0]
    assert (request.method, request.path, request.body) == ("POST", "/v1/messages", PARAMS)
    assert request.headers["anthropic-version"] == "2023-06-01"
    assert request.headers["anthropic-beta"] == "a-1,b-2"
    assert request.headers["content-type"] == "application/json"
    assert result.body == b'{"type":"succeeded","message":%b}' % MESSAGE
    assert (result.kind, result.model, result.message_id, result.stop_reason) == (
        "succeeded",
        "m-1",
        "msg_1",
        "end_turn",
    )
    assert result.usage == b'{"input_tokens":1e0}'
    assert provider.provider_time() == datetime(2026, 11, 22, 10, tzinfo=UTC)


def test_an_answer_stands_on_one_line(server, script, provider) -> None:
    server.play(script.answer(200, MESSAGE.replace(b",", b",\n  ")))
    assert call(provider).body == b'{"type":"succeeded","message":%b}' % MESSAGE


@pytest.mark.parametrize(
    ("status", "kind"),
    [(400, "invalid_request_error"), (404, "not_found_error"), (413, "request_too_large"), (422, "odd_error")],
)
def test_refused_params_are_a_result(server, script, provider, status: int, kind: str) -> None:
    server.play(script.error(status, kind, "model: m is not known"))
    result = call(provider)
    assert (result.kind, result.error_type, result.retryable) == ("errored", kind, False)
    assert result.error_message == "model: m is not known"
    error = {"type": "error", "error": {"type": kind, "message": "model: m is not known"}}
    assert json.loads(result.body) == {"type": "errored", "error": error}


def test_a_413_of_whoever_stands_in_between_is_one_too(server, script, provider) -> None:
    server.play(script.answer(413, b"<html>too large</html>"))
    assert call(provider).error_type == "request_too_large"


@pytest.mark.parametrize("status", [429, 529])
def test_no_capacity(server, script, provider, status: int) -> None:
    server.play(script.error(status, retry_after="7"))
    with pytest.raises(CapacityRefused) as refused:
        call(provider)
    assert refused.value.retry_after == 7.0
    assert len(server.requests) == 1


@pytest.mark.parametrize(
    "answer",
    [
        (401, "authentication_error", "no"),
        (402, "billing_error", "no"),
        (403, "permission_error", "no"),
        (400, "invalid_request_error", "Your credit balance is too low to access the Anthropic API"),
    ],
)
def test_what_says_nothing_of_the_params_refuses_us(server, script, provider, answer: Any) -> None:
    server.play(script.error(*answer))
    with pytest.raises(ProviderRefused) as refused:
        call(provider)
    assert refused.value.status == answer[0]


@pytest.mark.parametrize("status", [302, 404, 405])
def test_who_is_not_the_api_refuses_us(server, script, provider, status: int) -> None:
    server.play(script.answer(status, b"elsewhere", location="http://127.0.0.1:1/"))
    with pytest.raises(ProviderRefused):
        call(provider)


@pytest.mark.parametrize("status", [408, 409, 425, 500, 502, 503, 504])
def test_an_answer_that_does_not_tell_is_uncertain_and_not_repeated(server, script, provider, status: int) -> None:
    server.play(script.error(status, "overloaded_error", x_should_retry="true"))
    with pytest.raises(SubmissionUncertain, match=str(status)):
        call(provider)
    assert len(server.requests) == 1


@pytest.mark.parametrize("step", ["drop", "reset", "half", "silence", "no message"])
def test_so_is_no_answer_or_half_of_one(server, script, connect, step: str) -> None:
    steps = {
        "drop": script.drop(),
        "reset": script.drop(reset=True),
        "half": script.pieces(MESSAGE[:40], promised=len(MESSAGE)),
        "silence": script.silence(),
        "no message": script.answer(200, b"{}"),
    }
    server.play(steps[step])
    with pytest.raises(SubmissionUncertain):
        call(connect(server.base_url, timeout_seconds=0.2))
    assert len(server.requests) == 1


def test_a_connection_that_was_never_made_did_nothing(connect) -> None:
    def never() -> None:
        pytest.fail("nothing can be sent")

    with pytest.raises(ProviderUnreachable):
        call(connect("http://127.0.0.1:1"), before_send=never)


def test_what_stops_it_before_the_first_byte_comes_out_as_it_is(server, script, provider) -> None:
    def stop() -> None:
        raise KeyError("stopped")

    server.play(script.drop())
    with pytest.raises(KeyError, match="stopped"):
        call(provider, before_send=stop)
    assert server.only_request().body == b""


def test_no_message_holds_the_credential(server, script, provider) -> None:
    server.play(script.error(400, "invalid_request_error", "sk-secret-1 is odd"))
    result = call(provider)
    assert b"sk-secret" not in result.body
    assert "sk-secret" not in (result.error_message or "")
