"""What a provider's usage object comes to, under which price keys."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ledger.errors import LedgerError, UsageUnreadable
from ledger.pricing import PROMPT_LADDER, PriceKey, Tokens, UsageEntry, normalise

MODEL = "claude-sonnet-5-5"


def entries(usage: dict[str, Any], model: str = MODEL, processing: Any = "standard") -> tuple[UsageEntry, ...]:
    return normalise(provider="anthropic", model=model, processing=processing, usage=usage)


def only(usage: dict[str, Any]) -> UsageEntry:
    (entry,) = entries(usage)
    return entry


def iteration(kind: str | None, tokens_in: int, tokens_out: int, **more: Any) -> dict[str, Any]:
    """An entry as the SDK types it: all counts present, `model` only where the type has one."""
    return {
        "type": kind,
        "input_tokens": tokens_in,
        "output_tokens": tokens_out,
        "cache_creation_input_tokens": 0,
        "cache_read_input_tokens": 0,
        "cache_creation": {"ephemeral_5m_input_tokens": 0, "ephemeral_1h_input_tokens": 0},
        **more,
    }


def writes(total: int, five_minutes: int, hour: int) -> dict[str, Any]:
    return {
        "cache_creation_input_tokens": total,
        "cache_creation": {"ephemeral_5m_input_tokens": five_minutes, "ephemeral_1h_input_tokens": hour},
    }


def test_a_full_usage_object() -> None:
    usage = {
        "input_tokens": 7,
        "output_tokens": 90,
        "cache_read_input_tokens": 4000,
        **writes(1300, 300, 1000),
        "server_tool_use": {"web_search_requests": 2, "web_fetch_requests": 5},
        "output_tokens_details": {"thinking_tokens": 60},
        "service_tier": "batch",
        "inference_geo": "us",
        "speed": "standard",
    }
    assert entries(usage, processing="batch") == (
        UsageEntry(
            PriceKey("anthropic", MODEL, "batch", geo="us"),
            Tokens(uncached=7, write_5m=300, write_1h=1000, read=4000, output=90, web_searches=2),
        ),
    )


@pytest.mark.parametrize("usage", [{}, {"input_tokens": None, "cache_creation": None, "iterations": None}])
def test_missing_and_null_fields_are_nothing(usage: dict[str, Any]) -> None:
    assert only(usage) == UsageEntry(PriceKey("anthropic", MODEL, "standard"), Tokens())


@pytest.mark.parametrize(
    ("field", "value", "expected"),
    [
        ("inference_geo", "us", {"geo": "us"}),
        ("inference_geo", "global", {}),
        ("inference_geo", "not_available", {}),
        ("inference_geo", None, {}),
        ("service_tier", "priority", {"tier": "priority"}),
        ("service_tier", "standard", {}),
        ("service_tier", "batch", {}),
        ("service_tier", None, {}),
        ("speed", "fast", {"speed": "fast"}),
        ("speed", "standard", {}),
        ("speed", None, {}),
    ],
)
def test_what_the_price_depends_on_is_in_the_key(field: str, value: object, expected: dict[str, str]) -> None:
    key = PriceKey("anthropic", MODEL, "standard", **expected)  # type: ignore[arg-type]
    assert only({field: value}).key == key


@pytest.mark.parametrize(
    ("usage", "step"),
    [
        ({"input_tokens": 100_000}, 0),
        ({"input_tokens": 100_001}, 100_000),
        ({"input_tokens": 1, "cache_read_input_tokens": 60_000, **writes(40_000, 20_000, 20_000)}, 100_000),
        ({"input_tokens": 200_000}, 100_000),
        ({"input_tokens": 200_001}, 200_000),
        ({"output_tokens": 500_000}, 0),
    ],
)
def test_the_whole_prompt_decides_the_step(usage: dict[str, Any], step: int) -> None:
    assert only(usage).key.prompt_over == step
    assert step in (0, *PROMPT_LADDER)


@pytest.mark.parametrize(
    ("usage", "five_minutes", "hour"),
    [
        ({"cache_creation_input_tokens": 50}, 50, 0),
        ({"cache_creation_input_tokens": 50, "cache_creation": None}, 50, 0),
        (writes(50, 20, 30), 20, 30),
        (writes(50, 10, 15), 35, 15),
        (writes(50, 40, 30), 40, 30),
        ({"cache_creation": {"ephemeral_1h_input_tokens": 9}}, 0, 9),
    ],
)
def test_no_written_token_is_lost(usage: dict[str, Any], five_minutes: int, hour: int) -> None:
    tokens = only(usage).tokens
    assert (tokens.write_5m, tokens.write_1h) == (five_minutes, hour)


def test_iterations_tell_the_lifetimes_that_the_top_level_split_leaves_out() -> None:
    usage = {
        **writes(1500, 0, 1000),
        "iterations": [
            iteration("message", 10, 5, **writes(1000, 0, 1000)),
            iteration("message", 10, 5, **writes(500, 100, 400)),
        ],
    }
    tokens = only(usage).tokens
    assert (tokens.write_5m, tokens.write_1h) == (100, 1400)


def test_a_complete_top_level_split_outranks_iterations_without_one() -> None:
    bare = iteration("message", 10, 5, cache_creation_input_tokens=1000, cache_creation=None)
    tokens = only({**writes(1000, 0, 1000), "iterations": [bare]}).tokens
    assert (tokens.write_5m, tokens.write_1h) == (0, 1000)


def test_iterations_that_do_not_account_for_the_total_change_nothing() -> None:
    usage = {**writes(1500, 0, 1000), "iterations": [iteration("message", 10, 5, **writes(1000, 0, 1000))]}
    tokens = only(usage).tokens
    assert (tokens.write_5m, tokens.write_1h) == (500, 1000)


def test_message_iterations_are_inside_the_top_level_counts() -> None:
    usage = {
        "input_tokens": 30,
        "output_tokens": 8,
        "iterations": [iteration("message", 10, 3), iteration("message", 20, 5, model=MODEL)],
    }
    assert only(usage).tokens == Tokens(uncached=30, output=8)


def test_an_advisor_is_billed_beside_a_tiny_top_level() -> None:
    advisor = iteration("advisor_message", 8_012, 1_520, model="claude-fable-5", cache_read_input_tokens=640)
    usage = {
        "input_tokens": 92,
        "output_tokens": 63,
        "inference_geo": "us",
        "iterations": [iteration("message", 50, 20), advisor, iteration("message", 42, 43)],
    }
    own, advice = entries(usage)
    assert own.tokens == Tokens(uncached=92, output=63)
    assert advice == UsageEntry(
        PriceKey("anthropic", "claude-fable-5", "standard", geo="us"),
        Tokens(uncached=8_012, read=640, output=1_520),
    )


def test_a_compaction_is_billed_beside_under_the_response_model() -> None:
    usage = {
        "input_tokens": 23_000,
        "output_tokens": 1_000,
        "server_tool_use": {"web_search_requests": 1},
        "iterations": [iteration("compaction", 180_000, 3_500), iteration("message", 23_000, 1_000)],
    }
    assert entries(usage, processing="batch") == (
        UsageEntry(PriceKey("anthropic", MODEL, "batch"), Tokens(uncached=23_000, output=1_000, web_searches=1)),
        UsageEntry(
            PriceKey("anthropic", MODEL, "batch", prompt_over=100_000), Tokens(uncached=180_000, output=3_500)
        ),
    )


def test_entries_of_equal_key_stay_apart() -> None:
    usage = {"input_tokens": 5, "iterations": [iteration("compaction", 7, 1), iteration("compaction", 8, 1)]}
    assert [entry.tokens.uncached for entry in entries(usage)] == [5, 7, 8]
    assert len({entry.key for entry in entries(usage)}) == 1


def test_empty_entries_add_nothing() -> None:
    usage = {"input_tokens": 5, "iterations": [iteration("compaction", 0, 0)]}
    assert only(usage).tokens == Tokens(uncached=5)


def served_by_fallback(*attempts: dict[str, Any]) -> dict[str, Any]:
    """The provider's documented example: `model` and top level are those of the attempt that answered."""
    answer = iteration("fallback_message", 412, 264, model="claude-opus-4-8")
    return {"input_tokens": 412, "output_tokens": 264, "iterations": [*attempts, answer]}


def test_the_fallback_that_answered_is_the_top_level_and_is_not_billed_twice() -> None:
    usage = served_by_fallback(iteration("message", 535, 0, model="claude-fable-5"))
    assert entries(usage, model="claude-opus-4-8") == (
        UsageEntry(PriceKey("anthropic", "claude-opus-4-8", "standard"), Tokens(uncached=412, output=264)),
    )


def test_an_attempt_declined_partway_is_billed_at_its_own_model() -> None:
    usage = served_by_fallback(iteration("message", 535, 31, model="claude-fable-5"))
    own, declined = entries(usage, model="claude-opus-4-8")
    assert own.tokens == Tokens(uncached=412, output=264)
    assert declined == UsageEntry(
        PriceKey("anthropic", "claude-fable-5", "standard"), Tokens(uncached=535, output=31)
    )


@pytest.mark.parametrize("spelled", ["claude-opus-4-8", "claude-opus-4-8-20260401", "claude-opus-4-8-latest"])
def test_the_same_model_under_another_spelling_is_no_other_attempt(spelled: str) -> None:
    usage = served_by_fallback(iteration("message", 100, 20, model=spelled))
    assert len(entries(usage, model="claude-opus-4-8")) == 1


def test_a_fallback_on_another_model_than_the_response_is_billed_beside() -> None:
    usage = served_by_fallback()
    own, fallback = entries(usage, model="claude-fable-5")
    assert own.key.model == "claude-fable-5"
    assert fallback == UsageEntry(
        PriceKey("anthropic", "claude-opus-4-8", "standard"), Tokens(uncached=412, output=264)
    )


def test_without_a_fallback_the_model_of_a_message_is_an_alias_of_the_response() -> None:
    usage = {"input_tokens": 9, "output_tokens": 2, "iterations": [iteration("message", 9, 2, model="alias")]}
    assert len(entries(usage)) == 1


@pytest.mark.parametrize(
    ("usage", "path"),
    [
        ({"input_tokens": -1}, "usage.input_tokens"),
        ({"input_tokens": True}, "usage.input_tokens"),
        ({"input_tokens": 2**53 + 1}, "usage.input_tokens"),
        (None, "usage"),
        ([], "usage"),
        ({"output_tokens": 1.5}, "usage.output_tokens"),
        ({"output_tokens": "12"}, "usage.output_tokens"),
        ({"cache_creation": 4}, "usage.cache_creation"),
        (
            {"cache_creation": {"ephemeral_1h_input_tokens": -4}},
            "usage.cache_creation.ephemeral_1h_input_tokens",
        ),
        ({"server_tool_use": {"web_search_requests": -2}}, "usage.server_tool_use.web_search_requests"),
        ({"server_tool_use": [1]}, "usage.server_tool_use"),
        ({"iterations": {"type": "message"}}, "usage.iterations"),
        ({"iterations": [None]}, "usage.iterations"),
        ({"iterations": [iteration("message", -1, 0)]}, "usage.iterations[0].input_tokens"),
        (
            {"iterations": [iteration("compaction", 1, 1), iteration("dream", 1, 1)]},
            "usage.iterations[1].type",
        ),
        ({"iterations": [iteration(None, 1, 1)]}, "usage.iterations[0].type"),
        ({"iterations": [iteration("advisor_message", 1, 1)]}, "usage.iterations[0].model"),
        ({"iterations": [iteration("advisor_message", 1, 1, model="")]}, "usage.iterations[0].model"),
        ({"iterations": [iteration("fallback_message", 1, 1, model=7)]}, "usage.iterations[0].model"),
    ],
)
def test_what_cannot_be_read_is_refused_and_named(usage: Any, path: str) -> None:
    with pytest.raises(UsageUnreadable) as caught:
        entries(usage)
    assert caught.value.path == path
    assert isinstance(caught.value, LedgerError)
    assert str(caught.value) == f"{path}: {caught.value.reason}"


counts = st.integers(0, 10**9)
some_tokens = st.builds(Tokens, counts, counts, counts, counts, counts, counts)


@given(some_tokens)
def test_counts_survive(tokens: Tokens) -> None:
    usage = {
        "input_tokens": tokens.uncached,
        "output_tokens": tokens.output,
        "cache_read_input_tokens": tokens.read,
        **writes(tokens.writes, tokens.write_5m, tokens.write_1h),
        "server_tool_use": {"web_search_requests": tokens.web_searches},
    }
    assert only(usage).tokens == tokens


@given(some_tokens, some_tokens)
def test_tokens_add_up(one: Tokens, other: Tokens) -> None:
    total = one + other
    assert total == other + one
    assert total.prompt == one.prompt + other.prompt
    assert total.prompt == total.uncached + total.write_5m + total.write_1h + total.read
    assert (total.output, total.web_searches) == (
        one.output + other.output,
        one.web_searches + other.web_searches,
    )


def test_keys_have_an_order() -> None:
    keys = [PriceKey("a", "m", "standard"), PriceKey("a", "m", "batch"), PriceKey("a", "l", "standard")]
    assert sorted(keys) == keys[::-1]
