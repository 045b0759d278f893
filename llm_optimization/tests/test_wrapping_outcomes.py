"""What errors of different clients say about the bill."""

from __future__ import annotations

import asyncio
import socket
from types import SimpleNamespace
from typing import Any

import pytest

from llm_optimization.recording import CostUnknown, Refused
from llm_optimization.wrapping.outcomes import names_cache_markers, outcome_of, status_of


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
