"""Which events tell of a finished call, whatever it was called with and however it ended."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta, timezone
from hashlib import sha256
from typing import Any
from uuid import UUID

import msgspec
import pytest
from pydantic import BaseModel

from ledger.codec import canonical_json
from ledger.encoding import encode
from ledger.events import (
    CacheUsageRecorded,
    EventData,
    RequestCostUnknown,
    RequestFailed,
    RequestRecorded,
    RequestSucceeded,
)
from llm_optimization.recording import Answered, CostUnknown, FinishedCall, Refused
from llm_optimization.recording.events import call_events
from llm_optimization.recording.notes import note
from scheduler.providers.anthropic.rules import AnthropicRules

ID = UUID("01a20000-0000-7000-8000-000000000001")
AT = datetime(2026, 11, 22, 12, tzinfo=UTC)
MODEL = "claude-sonnet-5-5"
PARAMS: dict[str, Any] = {
    "model": MODEL,
    "max_tokens": 64,
    "system": [{"type": "text", "text": "Be brief. " * 500, "cache_control": {"type": "ephemeral"}}],
    "messages": [{"role": "user", "content": "What is a ledger?"}],
}
USAGE = {"input_tokens": 7, "output_tokens": 9, "cache_read_input_tokens": 1400}


def call(outcome: Any = None, **changes: Any) -> FinishedCall:
    fields: dict[str, Any] = {
        "provider": "anthropic",
        "model": MODEL,
        "params": PARAMS,
        "outcome": outcome or Answered(MODEL, "msg_1", "end_turn", USAGE),
        "finished_at": AT,
    }
    return FinishedCall(**{**fields, **changes})


def said(finished: FinishedCall) -> list[Any]:
    """What the events say; they can be stored."""
    events = call_events(note(finished), ID)
    encode(events)
    assert [event.version for event in events] == list(range(1, len(events) + 1))
    assert {event.stream_id for event in events} == {f"request/{ID}"}
    assert {event.correlation_id for event in events} == {ID}
    assert len({event.event_id for event in events}) == len(events)
    return [event.data for event in events]


def recorded(**changes: Any) -> RequestRecorded:
    first: RequestRecorded = said(call(**changes))[0]
    return first


def kinds(events: list[EventData]) -> list[type[EventData]]:
    return [type(data) for data in events]


def test_an_answer_and_its_usage() -> None:
    first, succeeded, used = said(call(tags={"team": "search"}, key="nightly"))
    facts = AnthropicRules().check(PARAMS)
    assert first == RequestRecorded(
        key="nightly",
        custom_id=str(ID),
        provider="anthropic",
        model=MODEL,
        mode="standard",
        api_version=facts.api_version,
        params_hash=sha256(canonical_json(PARAMS)).hexdigest(),
        payload=None,
        size=len(msgspec.json.encode(PARAMS)),
        max_tokens=64,
        estimated_input_tokens=facts.estimated_input_tokens,
        tags={"team": "search"},
        markers=1,
        prefix=facts.prefix,
    )
    assert (succeeded.model, succeeded.processing, succeeded.message_id, succeeded.stop_reason) == (
        MODEL,
        "standard",
        "msg_1",
        "end_turn",
    )
    assert (used.role, used.billed_at, msgspec.json.decode(used.usage)) == ("result", AT, USAGE)


@pytest.mark.parametrize(
    ("outcome", "expected"),
    [
        (Answered(MODEL, usage=USAGE), [RequestRecorded, RequestSucceeded, CacheUsageRecorded]),
        (Answered(MODEL), [RequestRecorded, RequestSucceeded, RequestCostUnknown]),
        (Answered(MODEL, usage={"input_tokens": 0.5}), [RequestRecorded, RequestSucceeded, RequestCostUnknown]),
        (Answered(MODEL, usage={"\ud800": 1}), [RequestRecorded, RequestSucceeded, RequestCostUnknown]),
        (Refused("rate_limit_error", "slow down", 429), [RequestRecorded, RequestFailed]),
        (CostUnknown("the reply was lost"), [RequestRecorded, RequestFailed, RequestCostUnknown]),
    ],
)
def test_every_outcome_ends_the_request(outcome: Any, expected: list[type[EventData]]) -> None:
    events = said(call(outcome))
    assert kinds(events) == expected
    assert not any(data.retryable for data in events if isinstance(data, RequestFailed))


def test_a_refusal_says_what_the_provider_said_and_with_which_status() -> None:
    _, failed = said(call(Refused("rate_limit_error", "slow down", 429)))
    assert (failed.error_type, failed.message) == ("rate_limit_error", "slow down (HTTP 429)")


@pytest.mark.parametrize(
    "text",
    [
        "Incorrect API key provided: sk-proj-canary1234****wxyz",
        "Authorization: Bearer canary1234567",
        'headers {"x-api-key": "canary12345"}',
        "https://host/v1?key=canary1234&x=1",
        "postgresql://user:canary12@host/db",
        "key AIzacanary1234567890123456789",
        "token=canary123456",
    ],
)
def test_no_credential_gets_into_the_log(text: str) -> None:
    for outcome in (Refused("authentication_error", text, 401), CostUnknown(text)):
        assert "canary" not in "".join(str(data) for data in said(call(outcome)))


def test_no_word_of_a_prompt_gets_into_the_log() -> None:
    events = call_events(note(call()), ID)
    assert "Be brief" not in "".join(event.text for event in encode(events))


def test_a_streamed_call_asks_the_same_as_one_that_is_not() -> None:
    streamed = {**PARAMS, "stream": True, "timeout": 3, "extra_headers": {"x-api-key": "secret"}}
    assert recorded(params=streamed).params_hash == recorded().params_hash
    assert recorded(params={**PARAMS, "extra_body": {"temperature": 1}}).params_hash != recorded().params_hash


def test_the_version_that_was_sent_counts_more_than_the_one_that_would_do() -> None:
    assert recorded(api_version="2023-06-01").api_version == "2023-06-01"


@pytest.mark.parametrize(
    "params",
    [
        {},
        {"model": MODEL, "messages": None, "max_tokens": 5},
        {**PARAMS, "messages": [{"role": "user", "content": [{"type": "text"}]}]},
        {**PARAMS, "messages": [{"role": "user", "content": "half \ud800 a pair"}]},
        {**PARAMS, "system": [PARAMS["system"][0]] * 5},
        {**PARAMS, "metadata": object()},
        {**PARAMS, ("a", "tuple"): 1},
    ],
)
def test_odd_params_cost_a_fingerprint_and_no_record(params: Any) -> None:
    data = recorded(params=params)
    assert (data.model, len(data.params_hash)) == (MODEL, 64)


def test_params_that_refer_to_themselves_are_recorded_without_a_size() -> None:
    params = dict(PARAMS)
    params["metadata"] = params
    assert recorded(params=params).size == 0


def test_what_has_no_word_in_json_is_not_spelt_out() -> None:
    class Secret:
        def __repr__(self) -> str:
            raise AssertionError("nobody looks inside")

    assert recorded(params={**PARAMS, "metadata": Secret()}).size > 0


def test_other_providers_have_size_hash_and_estimate() -> None:
    params = {"model": "gpt-5", "max_completion_tokens": 99, "messages": [{"role": "user", "content": "x" * 700}]}
    data = recorded(provider="openai", model="gpt-5", params=params)
    assert (data.provider, data.max_tokens, data.markers, data.prefix) == ("openai", 99, 0, ())
    assert data.estimated_input_tokens == pytest.approx(data.size / 3.5, abs=1)


def test_models_of_pydantic_are_spelt_out() -> None:
    class Metadata(BaseModel):
        user_id: str

    plain = recorded(params={**PARAMS, "metadata": {"user_id": "u"}})
    assert recorded(params={**PARAMS, "metadata": Metadata(user_id="u")}).params_hash == plain.params_hash


def test_messages_stand_in_for_params() -> None:
    class Message:
        type = "human"

        def __init__(self, content: str) -> None:
            self.content, self.id = content, object()

    def asked(text: str) -> RequestRecorded:
        return recorded(provider="groq", model="llama", params=None, messages=[Message(text)])

    assert asked("one").params_hash == asked("one").params_hash != asked("two").params_hash
    assert asked("x" * 700).estimated_input_tokens > 200


def test_values_are_cut_to_what_can_be_stored() -> None:
    many = {f"tag{number}": number for number in range(9)} | {"": "nameless"}
    data = recorded(
        provider="anthropic",
        model="m\0\ud800" + "m" * 999,
        key="k\n" * 200,
        tags={"long" * 99: "v" * 999, **many},
        params={**PARAMS, "max_tokens": 10**30},
    )
    assert len(data.model) == len(data.key) == 200
    assert "\0" not in data.model + data.key
    assert len(data.tags) == 8
    assert max(map(len, data.tags)) == 64
    assert data.max_tokens == 2**53
    failed = said(call(Refused("e" * 999, "\0\ud800" + "m " * 9999)))[1]
    assert (len(failed.error_type), len(failed.message)) == (200, 1000)


def test_nothing_said_is_said_as_such() -> None:
    data = recorded(provider="", model="", key="", params=None, messages=None)
    assert (data.provider, data.model, data.key, data.size) == ("unknown", "unknown", "calls", 0)


@pytest.mark.parametrize(
    "at", [AT.replace(tzinfo=None), datetime(2026, 11, 22, 13, tzinfo=timezone(timedelta(hours=1)))]
)
def test_times_are_utc(at: datetime) -> None:
    events = call_events(note(call(finished_at=at)), ID)
    assert {event.occurred_at for event in events} == {AT}
    assert msgspec.json.encode(events[-1].data.billed_at) == b'"2026-11-22T12:00:00Z"'
