"""Recorded calls of applications, as the command line tells of them."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import pytest

from ledger import shared_writer
from llm_optimization.config import OptimizationConfig
from llm_optimization.recording import Answered, CostUnknown, FinishedCall, Refused, recorder_for

AT = datetime(2026, 11, 22, 12, tzinfo=UTC)
SONNET = "claude-sonnet-5-5"
PARAMS = {"max_tokens": 9, "messages": [{"role": "user", "content": "Hello"}]}
TOLD = {
    "usage_metadata": {"input_tokens": 1000, "output_tokens": 20, "input_token_details": {"cache_read": 600}},
    "reported": None,
}
CALLS = {
    "priced": ("anthropic", SONNET, Answered(SONNET, usage={"input_tokens": 1000, "output_tokens": 100})),
    "unpriced": ("openai", "gpt-5", Answered("gpt-5", usage=TOLD)),
    "untold": ("anthropic", SONNET, Answered(SONNET)),
    "refused": ("anthropic", SONNET, Refused("rate_limit_error", "slow down", 429)),
    "lost": ("groq", "llama-4", CostUnknown("the reply was lost")),
}


@pytest.fixture
def called(program: Any) -> Any:
    """A ledger of five calls, each under a key of its own, and one request that was submitted."""
    recorder = recorder_for(OptimizationConfig(database_url=program.url))
    for key, (provider, model, outcome) in CALLS.items():
        recorder.record_sync(
            FinishedCall(
                provider=provider,
                model=model,
                params={"model": model, **PARAMS},
                outcome=outcome,
                finished_at=AT,
                key=key,
            )
        )
    shared_writer(program.url).close()
    return program


def test_requests_lists_them_with_a_final_status(called: Any) -> None:
    listed = {one["key"]: one for one in called("requests", "--json").lines}
    assert {key: one["status"] for key, one in listed.items()} == {
        "priced": "succeeded",
        "unpriced": "succeeded",
        "untold": "succeeded",
        "refused": "errored",
        "lost": "errored",
    }
    assert {key: one["cost"] for key, one in listed.items() if one["cost"]} == {"priced": "0.003"}
    assert listed["unpriced"]["tokens"]["uncached_input"] == 400
    assert listed["unpriced"]["unpriced"]
    assert listed["lost"]["error_type"] == "call_uncertain"


def test_savings_counts_each_once_and_gives_no_price_where_there_is_none(called: Any) -> None:
    report = called("savings", "--json", "--by", "provider").document
    assert report["requests"] == {
        "total": 5,
        "succeeded": 3,
        "failed": 2,
        "canceled": 0,
        "unpriced": 1,
        "cost_unknown": 2,
    }
    assert report["tokens"]["cache_read"] == 600
    assert report["cost"]["actual"] == "0.003"
    groups = {group["name"]: group for group in report["groups"]}
    assert {name: group["requests"]["unpriced"] for name, group in groups.items()} == {
        "anthropic": 0,
        "groq": 0,
        "openai": 1,
    }
    lines = called("savings", "--by", "model").out.splitlines()
    (unpriced,) = [line for line in lines if line.startswith("gpt-5")]
    assert "$" not in unpriced


@pytest.mark.parametrize(
    ("key", "told"),
    [
        ("priced", ("anthropic, a call of an application", "$2.00 per million", "saved by cache")),
        ("unpriced", ("no price is known for gpt-5", "400 tokens", "600 tokens", "20 tokens")),
        ("untold", ("nobody knows: the provider reported no usage",)),
        ("refused", ("errored (rate_limit_error: slow down (HTTP 429))", "nothing was billed for it\n")),
        ("lost", ("errored (call_uncertain: the reply was lost)", "nobody knows: the reply was lost")),
    ],
)
def test_show_explains_one(called: Any, key: str, told: tuple[str, ...]) -> None:
    (call,) = called("requests", "--json", "--key", key).lines
    out = called("show", call["id"]).out
    for words in told:
        assert words in out
    assert " later" not in out  # it was over before it was recorded


def test_results_are_of_submitted_requests_unless_a_key_asks_for_calls(called: Any, request_line: Any) -> None:
    called("submit", "-", stdin=request_line("one"))
    assert [line["custom_id"] for line in called("results").lines] == ["q-one"]
    (line,) = called("results", "--key", "priced").lines
    assert (line["status"], line["result"], line["cost"]) == ("succeeded", None, "0.003")


def test_events_name_no_word_of_a_prompt(called: Any) -> None:
    events = called("events", "--json").lines
    assert sum(event["type"] == "request.recorded" for event in events) == 5
    assert "Hello" not in str(events)
