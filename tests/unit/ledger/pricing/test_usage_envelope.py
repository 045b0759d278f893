"""Usage as LangChain tells it: its input is inclusive, and its details take it apart."""

from __future__ import annotations

from typing import Any

import pytest

from ledger.errors import UsageUnreadable
from ledger.pricing import PriceKey, Tokens, normalise


def tokens(details: Any = None, *, total: Any = 1000, output: Any = 20, **envelope: Any) -> Tokens:
    metadata = {"input_tokens": total, "output_tokens": output, "total_tokens": 1020}
    if details is not None:
        metadata["input_token_details"] = details
    (entry,) = normalise(
        provider="openai",
        model="gpt-5",
        processing="standard",
        usage={"usage_metadata": metadata, **envelope},
    )
    return entry.tokens


@pytest.mark.parametrize(
    ("details", "expected"),
    [
        (None, Tokens(1000, output=20)),
        ({}, Tokens(1000, output=20)),
        ({"cache_read": None, "audio": 7}, Tokens(1000, output=20)),
        ({"cache_read": 600}, Tokens(400, read=600, output=20)),
        ({"cache_read": 600, "cache_creation": 300}, Tokens(100, write_5m=300, read=600, output=20)),
        (
            {"cache_creation": 0, "ephemeral_5m_input_tokens": 100, "ephemeral_1h_input_tokens": 300},
            Tokens(600, write_5m=100, write_1h=300, output=20),
        ),
        ({"cache_creation": 400, "ephemeral_1h_input_tokens": 300}, Tokens(600, 100, 300, output=20)),
        ({"cache_read": 1000}, Tokens(0, read=1000, output=20)),
    ],
)
def test_every_token_is_counted_once(details: Any, expected: Tokens) -> None:
    assert tokens(details) == expected


def test_details_beyond_the_total_are_believed_and_leave_nothing_uncached() -> None:
    assert tokens({"cache_read": 900, "cache_creation": 200}) == Tokens(0, write_5m=200, read=900, output=20)


@pytest.mark.parametrize("tier", ["priority", "flex"])
def test_details_of_a_service_tier_carry_its_name_and_are_priced_by_it(tier: str) -> None:
    details = {f"{tier}_cache_read": 600, tier: 400}
    usage = {"usage_metadata": {"input_tokens": 1000, "output_tokens": 20, "input_token_details": details}}
    (entry,) = normalise(provider="openai", model="gpt-5", processing="standard", usage=usage)
    assert entry.tokens == Tokens(400, read=600, output=20)
    assert entry.key == PriceKey("openai", "gpt-5", "standard", tier=tier)


def test_web_searches_are_found_where_anthropics_format_reports_them() -> None:
    assert tokens(reported={"server_tool_use": {"web_search_requests": 2}}).web_searches == 2
    assert tokens(reported={"prompt_tokens": 1000}).web_searches == tokens(reported=None).web_searches == 0


def test_a_long_prompt_climbs_the_ladder_by_its_whole_length() -> None:
    usage = {"usage_metadata": {"input_tokens": 150_000, "input_token_details": {"cache_read": 149_000}}}
    (entry,) = normalise(provider="anthropic", model="claude-haiku-5-5", processing="standard", usage=usage)
    assert entry.key.prompt_over == 100_000


@pytest.mark.parametrize(
    ("usage", "place"),
    [
        ({"usage_metadata": None}, "usage.usage_metadata"),
        ({"usage_metadata": [3]}, "usage.usage_metadata"),
        ({"usage_metadata": {"input_tokens": 1.5}}, "usage.usage_metadata.input_tokens"),
        ({"usage_metadata": {"output_tokens": -1}}, "usage.usage_metadata.output_tokens"),
        ({"usage_metadata": {"output_tokens": True}}, "usage.usage_metadata.output_tokens"),
        ({"usage_metadata": {"input_token_details": 3}}, "usage.usage_metadata.input_token_details"),
        (
            {"usage_metadata": {"input_token_details": {"cache_read": "3"}}},
            "usage.usage_metadata.input_token_details.cache_read",
        ),
        ({"usage_metadata": {}, "reported": 3}, "usage.reported"),
    ],
)
def test_what_is_no_count_is_unreadable(usage: Any, place: str) -> None:
    with pytest.raises(UsageUnreadable) as caught:
        normalise(provider="openai", model="gpt-5", processing="standard", usage=usage)
    assert caught.value.path == place
