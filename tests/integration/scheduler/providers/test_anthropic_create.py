"""Creating a batch: what goes over the wire, and what every way of its ending is called."""

from __future__ import annotations

import json
import logging
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from typing import Any

import pytest

from ledger.errors import ConfigurationError, ProviderRefused, ProviderUnreachable
from scheduler.providers.anthropic import AnthropicBatches
from scheduler.providers.base import (
    BatchItem,
    BatchTooLarge,
    CapacityRefused,
    InvalidBatch,
    SubmissionUncertain,
)

BATCH = {
    "id": "msgbatch_1",
    "type": "message_batch",
    "processing_status": "in_progress",
    "request_counts": {"processing": 2, "succeeded": 0, "errored": 0, "canceled": 0, "expired": 0},
    "created_at": "2026-11-22T10:00:00+02:00",
    "expires_at": "2026-11-23T08:00:00.5Z",
    "ended_at": None,
    "results_url": None,
    "something_new": [1],
}
ITEMS = [
    BatchItem("n-0", b'{"model": "m",  "max_tokens":1e0}'),
    BatchItem("n-1", '{"model":"ü"}'.encode()),
]


def create(
    provider: AnthropicBatches,
    items: Callable[[], Any] = lambda: ITEMS,
    *,
    size: int | None = None,
    count: int | None = None,
    betas: tuple[str, ...] = (),
    before_send: Callable[[], None] = lambda: None,
) -> Any:
    return provider.create(
        items,
        size=sum(item.size for item in ITEMS) if size is None else size,
        count=len(ITEMS) if count is None else count,
        api_version="2023-06-01",
        betas=betas,
        before_send=before_send,
    )


def test_the_body_is_framed_around_the_bytes_as_given(server, script, provider) -> None:
    server.play(script.answer(200, BATCH))

    status = create(provider, betas=("a-1", "b-2"))

    request = server.requests[0]
    assert (request.method, request.path) == ("POST", "/v1/messages/batches")
    assert request.body == (
        b'{"requests":[{"custom_id":"n-0","params":{"model": "m",  "max_tokens":1e0}},'
        b'{"custom_id":"n-1","params":{"model":"\xc3\xbc"}}]}'
    )
    assert "transfer-encoding" not in request.headers
    assert request.headers["anthropic-version"] == "2023-06-01"
    assert request.headers["anthropic-beta"] == "a-1,b-2"
    assert request.headers["content-type"] == "application/json"
    assert script.bears(request, "sk-secret-1")
    assert (status.id, status.state, status.total) == ("msgbatch_1", "in_progress", 2)
    assert status.created_at == datetime(2026, 11, 22, 8, tzinfo=UTC)
    assert status.created_at.tzinfo is UTC


def test_a_submission_does_not_travel_on_a_connection_that_the_server_may_be_closing(
    server, script, provider
) -> None:
    empty = {"data": [], "has_more": False}
    server.play(script.answer(200, empty), script.answer(200, empty), script.answer(200, BATCH))
    provider.newest_batch()
    provider.newest_batch()
    create(provider)
    first, second, submission = (request.connection for request in server.requests)
    assert first == second != submission


def test_no_beta_header_without_betas(server, script, provider) -> None:
    server.play(script.answer(200, BATCH))
    create(provider)
    assert "anthropic-beta" not in server.requests[0].headers


def test_a_body_of_many_chunks_arrives_whole_and_its_items_are_asked_for_once(server, script, provider) -> None:
    many = [BatchItem(f"n-{index}", b'{"x":"' + b"y" * 1000 + b'"}') for index in range(500)]
    asked = []

    def items() -> list[BatchItem]:
        asked.append(1)
        return many

    server.play(script.answer(200, BATCH))
    create(provider, items, size=sum(item.size for item in many), count=500)

    requests = json.loads(server.requests[0].body)["requests"]
    assert [request["custom_id"] for request in requests] == [item.custom_id for item in many]
    assert asked == [1]


@pytest.mark.parametrize("mine", [{"api_key": "sk-mine"}, {"api_key": None, "auth_token": "sk-mine"}])
def test_no_credential_of_the_environment_travels_beside_ours(server, script, connect, monkeypatch, mine) -> None:
    monkeypatch.setenv("ANTHROPIC_API_KEY", "sk-other")
    monkeypatch.setenv("ANTHROPIC_AUTH_TOKEN", "sk-other")
    provider = connect(server.base_url, **mine)
    server.play(script.answer(200, BATCH), script.answer(200, BATCH))
    create(provider)
    provider.retrieve("msgbatch_1")
    for request in server.requests:
        bearer = request.headers.get("authorization")
        assert [request.headers.get("x-api-key"), bearer].count(None) == 1
        assert bearer in (None, "Bearer sk-mine")
        assert "sk-other" not in str(request.headers)


def test_headers_named_in_the_environment_travel_with_everything(server, script, connect, monkeypatch) -> None:
    named = "X-Team: search\nno header\nANTHROPIC-VERSION: 1999-01-01\nAnthropic-Workspace-Id : w:1 "
    monkeypatch.setenv("ANTHROPIC_CUSTOM_HEADERS", named)
    provider = connect(server.base_url)
    server.play(script.answer(200, BATCH), script.answer(200, BATCH))
    create(provider)
    provider.retrieve("msgbatch_1")
    for request in server.requests:
        assert (request.headers["x-team"], request.headers["anthropic-workspace-id"]) == ("search", "w:1")
    assert server.requests[0].headers["anthropic-version"] == "2023-06-01"


def test_headers_of_the_settings_travel_with_everything(server, script, connect, monkeypatch) -> None:
    """They win over the environment's, however those are spelled; betas are each submission's own."""
    monkeypatch.setenv("ANTHROPIC_CUSTOM_HEADERS", "X-Team: search\nAnthropic-Workspace-Id: w:1")
    mine = (("X-Gateway-Auth", "tok"), ("anthropic-beta", "b-1"), ("anthropic-workspace-id", "w:2"))
    provider = connect(server.base_url, headers=mine)
    server.play(script.answer(200, BATCH), script.answer(200, BATCH))
    create(provider)
    provider.retrieve("msgbatch_1")
    for request in server.requests:
        told = [request.headers.get(name) for name in ("x-team", "x-gateway-auth", "anthropic-workspace-id")]
        assert told == ["search", "tok", "w:2"]
        assert "anthropic-beta" not in request.headers
    assert provider.account().workspace == "w:2"


def test_everything_goes_through_the_proxy(server, script, connect) -> None:
    provider = connect("http://api.invalid", proxy=server.base_url)
    server.play(script.answer(200, BATCH), script.answer(200, BATCH))
    create(provider)
    provider.retrieve("msgbatch_1")
    place = "http://api.invalid/v1/messages/batches"
    assert [request.path for request in server.requests] == [place, f"{place}/msgbatch_1"]


def test_debug_logging_does_not_eat_the_body(server, script, provider, caplog) -> None:
    caplog.set_level(logging.DEBUG)
    server.play(script.answer(200, BATCH))
    create(provider)
    assert len(json.loads(server.requests[0].body)["requests"]) == 2
    assert "sk-secret-1" not in caplog.text


@pytest.mark.parametrize(
    ("status", "expected"),
    [
        (400, ProviderRefused),
        (422, ProviderRefused),
        (413, BatchTooLarge),
        (429, CapacityRefused),
        (529, CapacityRefused),
        (401, ProviderRefused),
        (402, ProviderRefused),
        (403, ProviderRefused),
        (404, ProviderRefused),
        (307, SubmissionUncertain),
        (408, SubmissionUncertain),
        (409, SubmissionUncertain),
        (418, SubmissionUncertain),
        (500, SubmissionUncertain),
        (502, SubmissionUncertain),
        (504, SubmissionUncertain),
    ],
)
def test_every_status_is_one_attempt_and_one_outcome(server, script, connect, status, expected) -> None:
    server.play(script.error(status, "some_error", "what was said", location="/elsewhere", x_should_retry="true"))
    with pytest.raises(expected, match="what was said") as caught:
        create(connect(server.base_url, read_retries=2))
    assert type(caught.value) is expected
    assert len(server.requests) == 1
    if expected is ProviderRefused:
        assert (caught.value.status, caught.value.kind) == (status, "some_error")


@pytest.mark.parametrize("status", [400, 422])
@pytest.mark.parametrize(
    "said",
    [
        "requests.3.params.max_tokens: Field required",
        "requests: List should have at least 1 item after validation, not 0",
        "custom_id 'n-1' is not unique",
        "The request body is not valid JSON: no low surrogate in string",
    ],
)
def test_what_speaks_of_items_is_an_invalid_batch(server, script, provider, status, said) -> None:
    server.play(script.error(status, "invalid_request_error", said))
    with pytest.raises(InvalidBatch) as caught:
        create(provider)
    assert said in str(caught.value)


@pytest.mark.parametrize(
    "said",
    [
        "Your credit balance is too low to access the Anthropic API. Please go to Plans & Billing.",
        "Unexpected value(s) `time-travel-2031-01-01` for the `anthropic-beta` header.",
        "anthropic-version: 1999-01-01 is not a valid version",
        "You have too many requests under way",
        "",
    ],
)
def test_what_speaks_of_no_item_refuses_the_submission_and_not_its_items(server, script, provider, said) -> None:
    server.play(script.error(400, "invalid_request_error", said))
    with pytest.raises(ProviderRefused, match="as a whole; nothing is lost: ") as caught:
        create(provider)
    assert said in str(caught.value)
    assert (caught.value.status, caught.value.kind) == (400, "invalid_request_error")


@pytest.mark.parametrize("body", [b"", b"<html>", b"null", b'{"id":"msgbatch_1"}', json.dumps(BATCH)[:-9].encode()])
def test_a_success_that_cannot_be_read_is_uncertain(server, script, provider, body) -> None:
    server.play(script.answer(200, body))
    with pytest.raises(SubmissionUncertain):
        create(provider)


@pytest.mark.parametrize(
    ("headers", "seconds"),
    [
        ({}, None),
        ({"retry_after": "7"}, 7.0),
        ({"retry_after": "7", "retry_after_ms": "250"}, 0.25),
        ({"retry_after": "soon"}, None),
        ({"retry_after": "-1"}, None),
        ({"retry_after": "nan"}, None),
        ({"retry_after": "Sun, 22 Nov 2026 10:00:30 GMT", "date": "Sun, 22 Nov 2026 10:00:00 GMT"}, 30.0),
        ({"retry_after": "Sun, 22 Nov 2026 10:00:30 GMT"}, None),
    ],
)
def test_capacity_tells_when_to_come_back(server, script, provider, headers, seconds) -> None:
    server.play(script.error(429, "rate_limit_error", **headers))
    with pytest.raises(CapacityRefused) as caught:
        create(provider)
    assert caught.value.retry_after == seconds


@pytest.mark.parametrize("reset", [False, True])
def test_a_connection_lost_after_the_body_is_uncertain(server, script, provider, reset) -> None:
    server.play(script.drop(reset=reset))
    with pytest.raises(SubmissionUncertain):
        create(provider)
    assert len(server.requests) == 1


def test_silence_is_uncertain(server, script, connect) -> None:
    server.play(script.silence())
    with pytest.raises(SubmissionUncertain):
        create(connect(server.base_url, timeout_seconds=0.05))


def test_a_connection_lost_within_the_body_is_uncertain(server, script, provider) -> None:
    big = BatchItem("n-0", b" " * 20_000_000)
    server.play(script.drop(read=False, reset=True))
    with pytest.raises(SubmissionUncertain):
        create(provider, lambda: [big], size=big.size, count=1)


def test_a_refusal_before_the_whole_body_was_read_is_heard(server, script, provider) -> None:
    items = [BatchItem(f"n-{index}", b" " * 100_000) for index in range(3)]
    server.play(script.answer(413, b"<html>too much</html>", early=True))
    with pytest.raises(BatchTooLarge):
        create(provider, lambda: items, size=sum(item.size for item in items), count=3)


def test_nobody_listening_is_unreachable_and_the_fence_is_not_asked(connect) -> None:
    asked = []
    with pytest.raises(ProviderUnreachable, match=r"http://127.0.0.1:1\b"):
        create(connect("http://127.0.0.1:1"), before_send=lambda: asked.append(1))
    assert asked == []


def test_the_fence_stops_the_body(server, script, provider) -> None:
    class Lost(Exception):
        pass

    def before_send() -> None:
        raise Lost

    server.play(script.answer(200, BATCH))
    with pytest.raises(Lost):
        create(provider, before_send=before_send)
    assert server.only_request().body == b""


def test_items_that_fail_come_out_as_they_are_and_the_body_stays_short(server, script, provider) -> None:
    def items() -> Iterator[BatchItem]:
        yield ITEMS[0]
        raise LookupError("payload is gone")

    server.play(script.answer(200, BATCH))
    with pytest.raises(LookupError, match="payload is gone"):
        create(provider, items)
    request = server.only_request()
    assert len(request.body) < int(request.headers["content-length"])


@pytest.mark.parametrize(("size", "count"), [(1, 2), (10_000, 2), (None, 1), (None, 3)])
def test_items_other_than_announced_are_never_a_whole_body(server, script, provider, size, count) -> None:
    server.play(script.answer(200, BATCH))
    with pytest.raises(ValueError, match="announced"):
        create(provider, size=size, count=count)
    assert not server.only_request().body.endswith(b"]}")


def test_a_custom_id_that_would_break_the_frame_is_not_sent(server, script, provider) -> None:
    bad = BatchItem('a","x":"', b"{}")
    server.play(script.answer(200, BATCH))
    with pytest.raises(ValueError, match="custom_id"):
        create(provider, lambda: [bad], size=bad.size, count=1)
    assert server.only_request().body == b""


def test_without_a_key_nothing_is_dialled(connect) -> None:
    with pytest.raises(ConfigurationError, match="ANTHROPIC_API_KEY is not set"):
        create(connect("http://127.0.0.1:1", api_key=None))


def test_an_answer_that_repeats_the_key_is_not_passed_on(server, script, provider) -> None:
    server.play(script.error(401, "authentication_error", "key sk-secret-1 is unknown"))
    with pytest.raises(ProviderRefused) as caught:
        create(provider)
    assert "sk-secret-1" not in str(caught.value)
    assert "ANTHROPIC_API_KEY" in str(caught.value)
    assert "\n" not in str(caught.value)


def test_an_answer_that_repeats_what_a_gateway_was_told_is_not_passed_on(server, script, connect) -> None:
    provider = connect(server.base_url, headers=(("x-gateway-auth", "gw-secret"), ("x-stage", "no")))
    server.play(script.error(403, "permission_error", "gw-secret is no token"))
    with pytest.raises(ProviderRefused, match=r"\[credential\] is no token") as caught:
        create(provider)
    assert "gw-secret" not in str(caught.value)
