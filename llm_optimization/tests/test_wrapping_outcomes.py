"""What errors of different clients say about the bill."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Callable
from types import SimpleNamespace
from typing import Any

import pytest

from llm_ledger.simulator import RunningSimulator
from llm_optimization.recording import CostUnknown, Refused
from llm_optimization.wrapping.outcomes import names_cache_markers, outcome_of, status_of
from scheduler.providers.anthropic import connection


class ApiError(Exception):
    """As SDKs make theirs: whatever they carry."""

    def __init__(self, text: str = "no", **carried: Any) -> None:
        super().__init__(text)
        self.__dict__.update(carried)


class ConnectError(Exception):
    """httpx's."""


class APIConnectionError(Exception):
    """That of an SDK, around any failure of the connection."""


BOTO = {"Error": {"Code": "ThrottlingException"}, "ResponseMetadata": {"HTTPStatusCode": 429}}


@pytest.mark.parametrize(
    ("error", "status"),
    [
        (ApiError(status_code=404), 404),
        (ApiError(response=SimpleNamespace(status_code=503)), 503),
        (ApiError(code=429), 429),
        (ApiError(http_status=400), 400),
        (ApiError(response=BOTO), 429),
        (ApiError(code="rate_limit_exceeded"), None),
        (ApiError(code=True), None),
        (ApiError(code=14), None),  # gRPC's own numbers are no HTTP
        (ApiError(response={}), None),
        (ValueError(), None),
    ],
)
def test_the_status_is_found(error: Exception, status: int | None) -> None:
    assert status_of(error) == status


@pytest.mark.parametrize("status", [400, 401, 403, 404, 413, 422, 429])
def test_a_refusal_costs_nothing(status: int) -> None:
    body = {"type": "error", "error": {"type": "some_error", "message": "why"}}
    assert outcome_of(ApiError(status_code=status, body=body)) == Refused("some_error", "why", status)


def test_a_refusal_without_a_body_is_told_in_the_errors_words() -> None:
    assert outcome_of(ApiError("too many", status_code=429)) == Refused("ApiError", "too many", 429)
    assert outcome_of(ApiError("", code=400, type="bad")) == Refused("bad", "ApiError", 400)


@pytest.mark.parametrize("status", [408, 409, 499, 500, 502, 503, 504])
def test_what_a_server_says_of_itself_may_have_been_billed(status: int) -> None:
    outcome = outcome_of(ApiError(status_code=status))
    assert isinstance(outcome, CostUnknown)
    assert str(status) in outcome.reason


def caused(error: BaseException, cause: BaseException) -> BaseException:
    error.__cause__ = cause
    return error


@pytest.mark.parametrize(
    "error",
    [
        ConnectError("no route"),
        caused(APIConnectionError("Connection error."), ConnectError()),
        caused(APIConnectionError(), caused(RuntimeError(), ConnectionRefusedError())),
        socket.gaierror(-2, "Name or service not known"),
    ],
)
def test_a_connection_that_was_never_made_costs_nothing(error: Exception) -> None:
    outcome = outcome_of(error)
    assert isinstance(outcome, Refused)
    assert (outcome.error_type, outcome.status) == ("connection_error", None)


def raised(function: Callable[[], None]) -> BaseException:
    """What a function raises, as whoever calls it sees it."""
    try:
        function()
    except BaseException as error:
        return error
    raise AssertionError("it raises")


def not_reached() -> None:
    raise ConnectError("no route")


def lost() -> None:
    raise ConnectionResetError


def wrapped_without_a_word() -> None:
    try:
        not_reached()
    except ConnectError:
        raise APIConnectionError  # noqa: B904 - as requests does


def wrapped_from_nothing() -> None:
    try:
        not_reached()
    except ConnectError:
        raise APIConnectionError from None  # as ollama does


@pytest.mark.parametrize("function", [wrapped_without_a_word, wrapped_from_nothing])
def test_an_error_raised_for_another_one_is_about_it(function: Callable[[], None]) -> None:
    assert isinstance(outcome_of(raised(function)), Refused)


def test_an_error_raised_while_another_one_is_handled_is_not_about_it() -> None:
    def ask_another() -> None:
        try:
            lost()
        except ConnectionResetError as error:
            raise APIConnectionError from error

    def within() -> None:
        try:
            not_reached()
        except ConnectError:
            ask_another()

    try:
        not_reached()
    except ConnectError:
        errors = [raised(function) for function in (lost, ask_another, within)]
    assert isinstance(errors[0].__context__, ConnectError)
    assert [type(outcome_of(error)) for error in errors] == [CostUnknown] * 3


@pytest.mark.parametrize(
    ("url", "headers"),
    [("localhost:1", {}), ("ftp://localhost", {}), ("http://127.0.0.1:9:9", {}), ("{}", {"x-api-key": "key\n"})],
)
def test_a_request_that_cannot_be_sent_costs_nothing(
    simulator: RunningSimulator, url: str, headers: dict[str, str]
) -> None:
    post = connection.http_library().post
    outcome = outcome_of(raised(lambda: post(url.format(simulator.base_url), headers=headers)))
    assert isinstance(outcome, Refused)
    assert outcome.message.startswith("the request cannot be sent: ")


def test_a_request_that_fails_on_its_way_may_have_been_billed(simulator: RunningSimulator) -> None:
    post, url = connection.http_library().post, simulator.base_url
    error = raised(lambda: post(url, content=b"longer", headers={"content-length": "5"}))
    assert outcome_of(error) == CostUnknown("the answer was lost: LocalProtocolError")


@pytest.mark.parametrize("error", [APIConnectionError(), TimeoutError(), ConnectionResetError(), KeyError("choices")])
def test_a_lost_answer_may_have_been_billed(error: Exception) -> None:
    outcome = outcome_of(error)
    assert isinstance(outcome, CostUnknown)
    assert type(error).__name__ in outcome.reason


@pytest.mark.parametrize("error", [asyncio.CancelledError(), KeyboardInterrupt(), GeneratorExit()])
def test_a_call_that_was_given_up_may_have_been_billed(error: BaseException) -> None:
    outcome = outcome_of(error)
    assert isinstance(outcome, CostUnknown)
    assert "given up" in outcome.reason


def test_after_the_first_piece_no_status_is_a_refusal() -> None:
    assert outcome_of(ApiError(status_code=400), began=True) == CostUnknown("the answer broke off: ApiError")
    assert outcome_of(GeneratorExit(), began=True) == CostUnknown("the stream was left before its end")


def test_a_circle_of_causes_ends() -> None:
    one, two = RuntimeError(), RuntimeError()
    one.__cause__, two.__cause__ = two, one
    assert isinstance(outcome_of(one), CostUnknown)


def test_only_a_400_that_names_markers_is_about_them() -> None:
    assert names_cache_markers(ApiError("messages.0.cache_control: no", status_code=400))
    assert names_cache_markers(ApiError("no", status_code=400, body={"error": {"message": "cache_control: no"}}))
    assert not names_cache_markers(ApiError("cache_control", status_code=500))
    assert not names_cache_markers(ApiError("max_tokens: no", status_code=400))
