"""Our prices against those that `genai-prices` (0.2.3) ships: two tables kept by different people."""

from __future__ import annotations

from datetime import UTC, datetime
from decimal import Decimal

import pytest
from genai_prices import Usage, calc_price

from ledger.pricing import PriceBook, PriceKey, Processing, Tokens, price_lines, usd
from ledger.pricing.usage import PROMPT_LADDER

BOOK = PriceBook.packaged()
# genai-prices knows most batch prices from 2026-10-14 on, and prices earlier batches in full without a word.
AT = datetime(2026, 11, 1, tzinfo=UTC)

MODELS = [
    "claude-fable-5-2",
    "claude-mythos-5-2",
    "claude-fable-5-1",
    "claude-fable-5",
    "claude-opus-5-5",
    "claude-opus-5",
    "claude-opus-4-8",
    "claude-opus-4-7",
    "claude-opus-4-6",
    "claude-opus-4-5",
    "claude-opus-4-1",
    "claude-opus-4-20250514",
    "claude-sonnet-5-5",
    "claude-sonnet-5",
    "claude-sonnet-4-6",
    "claude-sonnet-4-5",
    "claude-sonnet-4-20250514",
    "claude-3-7-sonnet-20250219",
    "claude-3-5-sonnet-20241022",
    "claude-haiku-5-5",
    "claude-haiku-4-5",
]
SHORT = Tokens(uncached=1_000, write_5m=2_000, write_1h=3_000, read=40_000, output=5_000, web_searches=7)
EDGE = Tokens(uncached=1_000, write_5m=2_000, write_1h=3_000, read=94_000, output=5_000)
LONG = Tokens(uncached=10_001, write_5m=20_000, write_1h=30_000, read=40_000, output=5_000)
LONGER = Tokens(uncached=100_001, write_5m=20_000, write_1h=30_000, read=50_000, output=5_000)
"""Prompts of 46,000, 100,000, 100,001 and 200,001 tokens."""
PROMPTS = [SHORT, EDGE, LONG, LONGER]

RETIRED = "no batch price there: retired before 2026-10-14, so batches are priced in full"
LONG_CONTEXT = "has a long-context step at 200,000 tokens there; the provider's present table has none"
DIFFERS: dict[tuple[str, Processing, int], str] = {
    **{
        (model, "batch", prompt.prompt): RETIRED
        for model in (
            "claude-opus-4-1",
            "claude-opus-4-20250514",
            "claude-3-7-sonnet-20250219",
            "claude-3-5-sonnet-20241022",
            "claude-sonnet-4-20250514",
        )
        for prompt in PROMPTS
    },
    ("claude-sonnet-4-5", "standard", LONGER.prompt): LONG_CONTEXT,
    ("claude-sonnet-4-5", "batch", LONGER.prompt): LONG_CONTEXT,
}


def ours(model: str, processing: Processing, tokens: Tokens) -> Decimal:
    step = max((step for step in PROMPT_LADDER if tokens.prompt > step), default=0)
    key = PriceKey("anthropic", model, processing, prompt_over=step)
    epoch = BOOK.epoch(key, AT)
    assert epoch is not None
    return usd(sum(line.amount for line in price_lines(tokens, BOOK.rates(key, epoch))))


def theirs(model: str, processing: Processing, tokens: Tokens) -> Decimal:
    usage = Usage(
        input_tokens=tokens.prompt,
        cache_write_tokens=tokens.writes,
        cache_write_5m_tokens=tokens.write_5m,
        cache_write_1h_tokens=tokens.write_1h,
        cache_read_tokens=tokens.read,
        output_tokens=tokens.output,
        web_searches=tokens.web_searches,
    )
    context = {"processing": "batch"} if processing == "batch" else None
    return calc_price(
        usage, model, provider_id="anthropic", genai_request_timestamp=AT, price_context=context
    ).total_price


@pytest.mark.parametrize("processing", ["standard", "batch"])
@pytest.mark.parametrize("model", MODELS)
def test_two_tables_agree_but_for_the_known_differences(model: str, processing: Processing) -> None:
    differing = {
        prompt.prompt for prompt in PROMPTS if ours(model, processing, prompt) != theirs(model, processing, prompt)
    }
    assert differing == {size for name, way, size in DIFFERS if (name, way) == (model, processing)}
