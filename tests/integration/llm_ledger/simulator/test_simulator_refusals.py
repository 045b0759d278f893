"""What the provider refuses, in its own words and shapes."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import httpx2
import pytest

from llm_ledger.simulator import RunningSimulator

Json = dict[str, Any]
Params = Callable[..., Json]
MARK = {"type": "ephemeral"}
MARK_1H = {"type": "ephemeral", "ttl": "1h"}


def text(content: str, **fields: Any) -> Json:
    return {"type": "text", "text": content, **fields}


def test_an_error_carries_its_request_id_and_the_providers_date(http: httpx2.Client) -> None:
    answer = http.post("/v1/messages", json={})
    assert answer.status_code == 400
    assert answer.json() == {
        "type": "error",
        "error": {"type": "invalid_request_error", "message": "model: Field required"},
        "request_id": answer.headers["request-id"],
    }
    assert answer.headers["request-id"].startswith("req_")
    assert answer.headers["date"] == "Tue, 06 Oct 2026 18:00:00 GMT"


@pytest.mark.parametrize(
    "headers",
    [{}, {"x-api-key": ""}, {"authorization": "Bearer"}, {"x-api-key": "invalid-1"}, {"authorization": "Basic a"}],
)
def test_without_a_good_key_nothing_is_answered(simulator: RunningSimulator, headers: dict[str, str]) -> None:
    version = {"anthropic-version": "2026-10-21"}
    answer = httpx2.get(f"{simulator.base_url}/v1/models", headers={**version, **headers})
    assert answer.status_code == 401
    assert answer.json()["error"]["type"] == "authentication_error"


@pytest.mark.parametrize("headers", [{"x-api-key": "k"}, {"authorization": "Bearer k"}])
@pytest.mark.parametrize("version", ["2023-06-01", "2026-10-21"])
def test_both_headers_and_both_versions_are_taken(
    simulator: RunningSimulator, headers: dict[str, str], version: str
) -> None:
    headers = {**headers, "anthropic-version": version}
    answer = httpx2.get(f"{simulator.base_url}/v1/models", headers=headers)
    assert answer.status_code == 200
    assert answer.headers["anthropic-organization-id"]


@pytest.mark.parametrize("headers", [{}, {"anthropic-version": "2024-01-01"}])
def test_a_version_must_be_named(simulator: RunningSimulator, headers: dict[str, str]) -> None:
    answer = httpx2.get(f"{simulator.base_url}/v1/models", headers={"x-api-key": "k", **headers})
    assert (answer.status_code, "anthropic-version" in answer.text) == (400, True)


@pytest.mark.parametrize(
    ("fields", "complaint"),
    [
        ({"max_tokens": -1}, "max_tokens"),
        ({"max_tokens": None}, "max_tokens: Field required"),
        ({"max_tokens": 128_001}, "maximum allowed number of output tokens"),
        ({"messages": []}, "messages"),
        ({"messages": [{"role": "robot", "content": "x"}]}, "messages.0.role"),
        ({"messages": [{"role": "user", "content": []}]}, "non-empty content"),
        ({"messages": [{"role": "user", "content": [text("")]}]}, "must be non-empty"),
        ({"extra_body": {}}, "extra_body: Extra inputs are not permitted"),
        ({"speed": "fast"}, "speed"),
        ({"system": 3}, "system"),
        ({"tools": [{"name": "x"}]}, "tools.0.input_schema"),
        ({"tool_choice": {"type": "tool", "name": "x"}, "model": "claude-opus-5"}, "not found in provided tools"),
        ({"tool_choice": {"type": "any"}}, "does not support forced tool use"),
        ({"system": [text("", cache_control=MARK)]}, "cache_control cannot be set for empty text blocks"),
        ({"system": [text("a", cache_control={"type": "eternal"})]}, "system.0.cache_control.type"),
        ({"system": [text("a", cache_control={"type": "ephemeral", "ttl": "2h"})]}, "cache_control.ttl"),
        ({"system": [text("a", cache_control=MARK)] * 5}, "may be provided. Found 5."),
        ({"system": [text("a", cache_control=MARK)] * 4, "cache_control": MARK}, "may be provided. Found 5."),
        (
            {"system": [text("a", cache_control=MARK), text("b", cache_control=MARK_1H)]},
            "a ttl='1h' cache_control block must not come after a ttl='5m' cache_control block",
        ),
        (
            {"messages": [{"role": "user", "content": [text("a", cache_control=MARK)]}], "cache_control": MARK_1H},
            "another ttl",
        ),
        (
            {"messages": [{"role": "assistant", "content": [{"type": "thinking", "cache_control": MARK}]}]},
            "cannot be marked",
        ),
    ],
)
def test_bad_params_are_refused(http: httpx2.Client, params: Params, fields: Json, complaint: str) -> None:
    answer = http.post("/v1/messages", json=params(**fields))
    assert answer.status_code == 400
    assert complaint in answer.json()["error"]["message"]


def test_a_prompt_beyond_the_context_is_refused(http: httpx2.Client, params: Params) -> None:
    answer = http.post("/v1/messages", json=params("x" * 800_001, model="claude-haiku-4-5"))
    assert (answer.status_code, "prompt is too long" in answer.text) == (400, True)


def test_an_unknown_model_is_not_found(http: httpx2.Client, params: Params) -> None:
    answer = http.post("/v1/messages", json=params(model="claude-1"))
    assert (answer.status_code, answer.json()["error"]["type"]) == (404, "not_found_error")


@pytest.mark.parametrize("name", ["temperature", "top_p", "top_k"])
@pytest.mark.parametrize(
    ("version", "model", "status"),
    [
        ("2026-10-21", "claude-haiku-4-5", 400),
        ("2023-06-01", "claude-haiku-4-5", 200),
        ("2023-06-01", "claude-opus-5-5", 400),
    ],
)
def test_sampling_parameters_need_the_older_version_and_an_older_model(
    http: httpx2.Client, params: Params, name: str, version: str, model: str, status: int
) -> None:
    asked = params(model=model, **{name: 1})
    assert http.post("/v1/messages", json=asked, headers={"anthropic-version": version}).status_code == status


@pytest.mark.parametrize(
    "message",
    [
        {"role": "assistant", "content": [{"type": "document", "source": {"type": "text", "data": "x"}}]},
        {"role": "user", "content": [text("x", citations=[{"type": "char_location"}])]},
    ],
)
def test_the_newer_version_refuses_documents_and_citations_out_of_place(
    http: httpx2.Client, params: Params, message: Json
) -> None:
    asked = params(messages=[{"role": "user", "content": "x"}, message])
    assert http.post("/v1/messages", json=asked).status_code == 400
    assert http.post("/v1/messages", json=asked, headers={"anthropic-version": "2023-06-01"}).status_code == 200


def test_what_is_no_json_is_refused(http: httpx2.Client) -> None:
    for path in ("/v1/messages", "/v1/messages/batches"):
        assert http.post(path, content=b'{"requests": [').status_code == 400


def test_what_is_nested_beyond_reason_is_refused(http: httpx2.Client, params: Params, finish: Params) -> None:
    deep = b'{"model": ' + b"[" * 50_000 + b"]" * 50_000 + b"}"
    assert http.post("/v1/messages", content=deep).status_code == 400
    body = b'{"requests": [{"custom_id": "a", "params": %s}]}' % deep
    assert http.post("/v1/messages/batches", content=body).status_code == 400
    assert finish({"custom_id": "b", "params": params()})["b"]["type"] == "succeeded"


def test_a_schema_that_makes_no_sense_spoils_only_its_own_item(finish: Params, params: Params) -> None:
    tools = [{"name": "t", "input_schema": {"type": "array", "minItems": "many"}}]
    done = finish({"custom_id": "a", "params": params(tools=tools)}, {"custom_id": "b", "params": params()})
    assert done["a"]["error"]["error"]["type"] == "api_error"
    assert done["b"]["type"] == "succeeded"


def test_an_unknown_path_is_refused_in_the_same_shape(http: httpx2.Client) -> None:
    answer = http.get("/v1/nothing")
    assert (answer.status_code, answer.json()["error"]["type"]) == (404, "not_found_error")
