"""Figures of single usages: by hand, and what holds for all of them."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime
from decimal import Decimal, localcontext

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ledger.pricing import (
    Figures,
    PriceBook,
    PriceLine,
    Processing,
    Rates,
    Role,
    Tokens,
    normalise,
    price,
    price_lines,
    usd,
    usd_text,
)

BOOK = PriceBook.packaged()
NOW = datetime(2026, 11, 15, tzinfo=UTC)
SEARCHES = {"server_tool_use": {"web_search_requests": 3}}


def figures(
    model: str, processing: Processing, usage: Mapping[str, object], role: Role = "result", at: datetime = NOW
) -> Figures:
    total = Figures()
    for entry in normalise(provider="anthropic", model=model, processing=processing, usage=usage):
        epoch = BOOK.epoch(entry.key, at)
        assert epoch is not None
        rates, standard = BOOK.rates(entry.key, epoch), BOOK.standard_rates(entry.key, epoch)
        total += price(entry.tokens, rates, standard, role=role)
    return total


MIXED: dict[str, object] = {
    "input_tokens": 1_000,
    "output_tokens": 2_000,
    "cache_read_input_tokens": 30_000,
    "cache_creation_input_tokens": 9_000,
    "cache_creation": {"ephemeral_5m_input_tokens": 4_000, "ephemeral_1h_input_tokens": 5_000},
}

# Worked by hand from the provider's table. A = 1000 in + 4000 5m + 5000 1h + 30000 read + 2000 out;
# without cache all 40,000 prompt tokens are plain input. Savings follow: batch Ns-Nb, cache Nb-A.
HAND = [
    # model, processing, A, Nb, Ns
    ("claude-fable-5-2", "standard", "0.214", "0.4", "0.4"),
    ("claude-mythos-5-2", "batch", "0.107", "0.2", "0.4"),
    ("claude-fable-5-1", "standard", "0.2675", "0.5", "0.5"),
    ("claude-fable-5", "standard", "0.29", "0.5", "0.5"),
    ("claude-fable-5", "batch", "0.145", "0.25", "0.5"),
    ("claude-opus-5-5", "standard", "0.11", "0.2", "0.2"),
    ("claude-opus-5", "standard", "0.145", "0.25", "0.25"),
    ("claude-opus-4-8", "batch", "0.0725", "0.125", "0.25"),
    ("claude-opus-4-7", "standard", "0.145", "0.25", "0.25"),
    ("claude-opus-4-6", "standard", "0.145", "0.25", "0.25"),
    ("claude-opus-4-5-20251101", "standard", "0.145", "0.25", "0.25"),
    ("claude-opus-4-1-20250805", "standard", "0.435", "0.75", "0.75"),
    ("claude-opus-4-0", "batch", "0.2175", "0.375", "0.75"),
    ("claude-sonnet-5-5", "standard", "0.055", "0.1", "0.1"),
    ("claude-sonnet-5-5", "batch", "0.0275", "0.05", "0.1"),
    ("claude-sonnet-5", "standard", "0.058", "0.1", "0.1"),
    ("claude-sonnet-4-6", "standard", "0.087", "0.15", "0.15"),
    ("claude-sonnet-4-5", "batch", "0.0435", "0.075", "0.15"),
    ("claude-sonnet-4-20250514", "standard", "0.087", "0.15", "0.15"),
    ("claude-3-7-sonnet-20250219", "standard", "0.087", "0.15", "0.15"),
    ("claude-3-5-sonnet-20241022", "standard", "0.087", "0.15", "0.15"),
    ("claude-haiku-5-5", "standard", "0.0029", "0.005", "0.005"),
    ("claude-haiku-5-5", "batch", "0.00145", "0.0025", "0.005"),
    ("claude-haiku-4-5-20251001", "standard", "0.029", "0.05", "0.05"),
]


@pytest.mark.parametrize(("model", "processing", "actual", "no_cache", "standard"), HAND)
def test_figures_by_hand(model: str, processing: Processing, actual: str, no_cache: str, standard: str) -> None:
    got = figures(model, processing, MIXED)
    assert (usd_text(got.actual), usd_text(got.no_cache), usd_text(got.standard_no_cache)) == (
        actual,
        no_cache,
        standard,
    )


def test_haiku_5_5_on_both_sides_of_its_boundary() -> None:
    at_limit = {"input_tokens": 60_000, "cache_read_input_tokens": 40_000, "output_tokens": 1_000}
    beyond = {**at_limit, "input_tokens": 60_001}
    assert usd_text(figures("claude-haiku-5-5", "standard", at_limit).actual) == "0.0069"
    assert usd_text(figures("claude-haiku-5-5", "standard", beyond).actual) == "0.0345005"
    assert usd_text(figures("claude-haiku-5-5", "batch", beyond).actual) == "0.01725025"


def test_sonnet_5_5_reads_before_and_after_the_change() -> None:
    reads = {"cache_read_input_tokens": 1_000_000}
    change = datetime(2026, 10, 7, tzinfo=UTC)
    last = datetime(2026, 10, 6, 23, 59, 59, 999_999, tzinfo=UTC)
    assert usd_text(figures("claude-sonnet-5-5", "batch", reads, at=last).actual) == "0.1"
    assert usd_text(figures("claude-sonnet-5-5", "batch", reads, at=change).actual) == "0.05"


def test_us_inference() -> None:
    assert usd_text(figures("claude-sonnet-4-6", "batch", {**MIXED, "inference_geo": "us"}).actual) == "0.04785"
    assert usd_text(figures("claude-sonnet-4-5", "batch", {**MIXED, "inference_geo": "us"}).actual) == "0.0435"


def test_web_searches_are_neither_halved_nor_saved() -> None:
    without, with_searches = (figures("claude-opus-5-5", "batch", usage) for usage in (MIXED, {**MIXED, **SEARCHES}))
    assert usd_text(with_searches.actual - without.actual) == "0.03"
    assert with_searches.batch_saving == without.batch_saving
    assert with_searches.cache_saving == without.cache_saving


def test_savings_of_a_batch_with_a_cache() -> None:
    got = figures("claude-fable-5-2", "batch", MIXED)
    assert usd_text(got.batch_saving) == "0.2"
    assert usd_text(got.cache_saving) == "0.093"
    assert usd_text(got.total_saving) == "0.293"


def test_a_cache_that_nobody_reads_saves_less_than_nothing() -> None:
    got = figures("claude-haiku-4-5", "standard", {"cache_creation_input_tokens": 8_000})
    assert usd_text(got.cache_saving) == "-0.002"


def test_a_duplicate_is_paid_and_saves_nothing() -> None:
    got = figures("claude-opus-5-5", "batch", MIXED, role="duplicate")
    assert usd_text(got.actual) == "0.055"
    assert (got.no_cache, got.standard_no_cache) == (0, 0)
    assert got.total_saving == -got.actual


def test_the_top_level_alone_would_be_wrong_by_two_hundred_times() -> None:
    """An advisor call: $0.00078 at the top level, $0.168 with the entries."""
    usage: Mapping[str, object] = {
        "input_tokens": 130,
        "output_tokens": 130,
        "iterations": [
            {"type": "message", "input_tokens": 130, "output_tokens": 130},
            {
                "type": "advisor_message",
                "model": "claude-fable-5",
                "input_tokens": 12_722,
                "output_tokens": 800,
            },
        ],
    }
    top_level = {name: usage[name] for name in ("input_tokens", "output_tokens")}
    assert usd_text(figures("claude-haiku-4-5", "standard", top_level).actual) == "0.00078"
    assert usd_text(figures("claude-haiku-4-5", "standard", usage).actual) == "0.168"


def test_lines_of_a_bill() -> None:
    rates = Rates(input=5, output=25, write_5m=6, write_1h=10, read=1, web_search=1_000)
    tokens = Tokens(uncached=1, write_1h=30, output=4, web_searches=2)
    assert price_lines(tokens, rates) == (
        PriceLine("uncached input", 1, "tokens", 5, 5),
        PriceLine("cache write 1h", 30, "tokens", 10, 300),
        PriceLine("output", 4, "tokens", 25, 100),
        PriceLine("web search", 2, "searches", 1_000, 2_000),
    )
    assert [line.name for line in price_lines(Tokens(write_5m=1, read=1), rates)] == [
        "cache write 5m",
        "cache read",
    ]
    assert price_lines(Tokens(), rates) == ()


counts = st.integers(0, 10**12)
some_tokens = st.builds(Tokens, counts, counts, counts, counts, counts, counts)
some_rates = st.builds(Rates, counts, counts, counts, counts, counts, counts)
roles = st.sampled_from(["result", "duplicate"])


@given(some_tokens, some_rates, some_rates, roles)
def test_savings_split_exactly_and_lines_sum_to_the_bill(
    tokens: Tokens, rates: Rates, standard: Rates, role: Role
) -> None:
    got = price(tokens, rates, standard, role=role)
    assert got.batch_saving + got.cache_saving == got.total_saving
    assert got.actual + got.total_saving == got.standard_no_cache
    lines = price_lines(tokens, rates)
    assert sum(line.amount for line in lines) == got.actual
    assert all(line.amount == line.quantity * line.rate and line.quantity > 0 for line in lines)


@given(some_tokens, some_tokens, some_rates, some_rates, roles)
def test_pricing_sums_is_summing_prices(
    one: Tokens, other: Tokens, rates: Rates, standard: Rates, role: Role
) -> None:
    apart = price(one, rates, standard, role=role) + price(other, rates, standard, role=role)
    assert price(one + other, rates, standard, role=role) == apart


@pytest.mark.parametrize(
    ("pico", "text"),
    [
        (0, "0"),
        (1, "0.000000000001"),
        (1_230_000_000, "0.00123"),
        (-500_000_000_000, "-0.5"),
        (12_250_000_000_000, "12.25"),
        (100 * 10**12, "100"),
        (-(10**40), "-10000000000000000000000000000"),
        (10**40 + 1, "10000000000000000000000000000.000000000001"),
    ],
)
def test_money_as_text(pico: int, text: str) -> None:
    assert usd_text(pico) == text
    assert usd(pico) == Decimal(text)


@given(st.integers(-(10**45), 10**45))
def test_money_loses_nothing(pico: int) -> None:
    with localcontext(prec=60):
        assert usd(pico).scaleb(12) == pico
        assert Decimal(usd_text(pico)).scaleb(12) == pico
    text = usd_text(pico)
    assert "e" not in text.lower()
    assert text == "0" or not text.endswith(".")
    assert "." not in text or not text.endswith("0")


def test_money_is_exact_in_a_narrow_decimal_context() -> None:
    with localcontext(prec=3):
        assert str(usd(123_456_789_000_000)) == "123.456789000000"
