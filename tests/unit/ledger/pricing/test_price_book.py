"""The packaged prices, figure by figure, and which of them is in force when."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta, timezone
from decimal import Decimal

import msgspec
import pytest

from ledger.errors import ConfigurationError
from ledger.pricing import PriceBook, PriceKey, Processing, Rates, usd

BOOK = PriceBook.packaged()
NOW = datetime(2026, 11, 15, 12, 0, tzinfo=UTC)
SEARCH = 10_000_000_000  # $10 per 1,000

# The provider's table: USD per million tokens as (in, out, 5m write, 1h write, read).
FABLE_52 = ("8", "40", "10", "16", "0.20")
FABLE_51 = ("10", "50", "12.5", "20", "0.25")
FABLE_5 = ("10", "50", "12.5", "20", "1")
OPUS_55 = ("4", "20", "5", "8", "0.20")
OPUS_5 = ("5", "25", "6.25", "10", "0.50")
OPUS_4 = ("15", "75", "18.75", "30", "1.50")
SONNET_55 = ("2", "10", "2.5", "4", "0.10")
SONNET_5 = ("2", "10", "2.5", "4", "0.20")
SONNET_4 = ("3", "15", "3.75", "6", "0.30")
HAIKU_55 = ("0.10", "0.50", "0.125", "0.20", "0.01")
HAIKU_55_LONG = ("0.50", "2.50", "0.625", "1.00", "0.05")
HAIKU_45 = ("1", "5", "1.25", "2", "0.10")

FROM_46_ON = {
    "claude-fable-5-2": FABLE_52,
    "claude-mythos-5-2": FABLE_52,
    "claude-fable-5-1": FABLE_51,
    "claude-fable-5": FABLE_5,
    "claude-opus-5-5": OPUS_55,
    "claude-opus-5": OPUS_5,
    "claude-opus-4-8": OPUS_5,
    "claude-opus-4-7": OPUS_5,
    "claude-opus-4-6": OPUS_5,
    "claude-sonnet-5-5": SONNET_55,
    "claude-sonnet-5": SONNET_5,
    "claude-sonnet-4-6": SONNET_4,
    "claude-haiku-5-5": HAIKU_55,
}
BEFORE_46 = {
    "claude-opus-4-5": OPUS_5,
    "claude-opus-4-5-20251101": OPUS_5,
    "claude-opus-4-1": OPUS_4,
    "claude-opus-4-1-20250805": OPUS_4,
    "claude-opus-4": OPUS_4,
    "claude-opus-4-0": OPUS_4,
    "claude-opus-4-20250514": OPUS_4,
    "claude-sonnet-4-5": SONNET_4,
    "claude-sonnet-4-5-20250929": SONNET_4,
    "claude-sonnet-4": SONNET_4,
    "claude-sonnet-4-0": SONNET_4,
    "claude-sonnet-4-20250514": SONNET_4,
    "claude-3-7-sonnet-20250219": SONNET_4,
    "claude-3-7-sonnet-latest": SONNET_4,
    "claude-3-5-sonnet-20240620": SONNET_4,
    "claude-3-5-sonnet-20241022": SONNET_4,
    "claude-3-5-sonnet-latest": SONNET_4,
    "claude-haiku-4-5": HAIKU_45,
    "claude-haiku-4-5-20251001": HAIKU_45,
}
EVERY_MODEL = sorted((FROM_46_ON | BEFORE_46).items())


def key(model: str, processing: Processing = "standard", **more: str | int) -> PriceKey:
    return PriceKey("anthropic", model, processing, **more)  # type: ignore[arg-type]


def billed(wanted: PriceKey, at: datetime = NOW) -> Rates:
    epoch = BOOK.epoch(wanted, at)
    assert epoch is not None
    return BOOK.rates(wanted, epoch)


def rates(column: tuple[str, ...], factor: str = "1") -> Rates:
    """Table figures as pico-USD per token: 1 USD per million tokens is 10^6 pico-USD each."""
    tokens = [Decimal(usd_per_million) * Decimal(factor) * 10**6 for usd_per_million in column]
    assert all(rate == int(rate) for rate in tokens)
    plain, output, write_5m, write_1h, read = map(int, tokens)
    return Rates(plain, output, write_5m, write_1h, read, SEARCH)


@pytest.mark.parametrize(("model", "column"), EVERY_MODEL)
def test_standard_and_batch_rates_of_every_model(model: str, column: tuple[str, ...]) -> None:
    assert billed(key(model)) == rates(column)
    assert billed(key(model, "batch")) == rates(column, "0.5")


@pytest.mark.parametrize(("model", "column"), sorted(FROM_46_ON.items()))
def test_us_inference_costs_a_tenth_more_from_the_4_6_generation_on(model: str, column: tuple[str, ...]) -> None:
    assert billed(key(model, geo="us")) == rates(column, "1.1")
    assert billed(key(model, "batch", geo="us")) == rates(column, "0.55")


@pytest.mark.parametrize(("model", "column"), sorted(BEFORE_46.items()))
def test_us_inference_costs_earlier_models_nothing(model: str, column: tuple[str, ...]) -> None:
    assert billed(key(model, geo="us")) == rates(column)


def test_haiku_5_5_reprices_long_prompts() -> None:
    assert billed(key("claude-haiku-5-5", prompt_over=100_000)) == rates(HAIKU_55_LONG)
    assert billed(key("claude-haiku-5-5", "batch", prompt_over=100_000)) == rates(HAIKU_55_LONG, "0.5")
    assert billed(key("claude-haiku-5-5", "batch", geo="us", prompt_over=100_000)) == rates(HAIKU_55_LONG, "0.55")
    assert billed(key("claude-haiku-5-5", prompt_over=200_000)) == rates(HAIKU_55_LONG)


def test_other_models_do_not_reprice_long_prompts() -> None:
    assert billed(key("claude-haiku-4-5", prompt_over=100_000)) == rates(HAIKU_45)
    assert billed(key("claude-sonnet-4-5", prompt_over=200_000)) == rates(SONNET_4)


def test_a_batch_search_is_not_halved() -> None:
    assert usd(billed(key("claude-opus-5-5", "batch", geo="us")).web_search * 1000) == 10


def test_standard_rates_are_those_of_the_same_row_and_place() -> None:
    batch = key("claude-haiku-5-5", "batch", geo="us", prompt_over=100_000)
    epoch = BOOK.epoch(batch, NOW)
    assert epoch is not None
    assert BOOK.standard_rates(batch, epoch) == rates(HAIKU_55_LONG, "1.1")
    plain = key("claude-opus-5")
    assert BOOK.standard_rates(plain, datetime(2024, 1, 1, tzinfo=UTC)) == rates(OPUS_5)


CHANGE = datetime(2026, 10, 7, tzinfo=UTC)


@pytest.mark.parametrize("processing", ["standard", "batch"])
def test_sonnet_5_5_reads_got_cheaper_at_an_instant(processing: Processing) -> None:
    factor = "0.5" if processing == "batch" else "1"
    sonnet = key("claude-sonnet-5-5", processing)
    before = CHANGE - timedelta(microseconds=1)
    assert BOOK.epoch(sonnet, CHANGE) == CHANGE
    assert billed(sonnet, CHANGE) == rates(SONNET_55, factor)
    assert BOOK.epoch(sonnet, before) == datetime(2024, 1, 1, tzinfo=UTC)
    assert billed(sonnet, before) == rates((*SONNET_55[:4], "0.20"), factor)


def test_instants_of_other_zones_are_the_same_instants() -> None:
    tokyo = timezone(timedelta(hours=9))
    assert BOOK.epoch(key("claude-sonnet-5-5"), datetime(2026, 10, 7, 9, 0, tzinfo=tokyo)) == CHANGE
    assert BOOK.epoch(key("claude-sonnet-5-5"), datetime(2026, 10, 7, 8, 59, tzinfo=tokyo)) != CHANGE


def test_nothing_is_priced_before_the_first_row() -> None:
    first = datetime(2024, 1, 1, tzinfo=UTC)
    assert BOOK.epoch(key("claude-opus-5"), first) == first
    assert BOOK.epoch(key("claude-opus-5"), first - timedelta(microseconds=1)) is None


@pytest.mark.parametrize(
    "model",
    [
        "claude-opus-4-99",
        "claude-opus-4-2",
        "claude-opus-4-",
        "claude-opus-4-2025051",
        "claude-opus-4-20259914",
        "claude-opus-4-20250514-latest",
        "claude-opus-4-20250514-v1",
        "claude-3-5-haiku-20241022",
        "claude-3-opus-20240229",
        "claude-mythos-5",
        "claude-mythos-5-1",
        "Claude-Opus-4",
        "anthropic.claude-opus-4",
        "claude-opus",
        "",
    ],
)
def test_a_model_the_table_does_not_name_is_unpriced(model: str) -> None:
    assert BOOK.epoch(key(model), NOW) is None


@pytest.mark.parametrize(
    "wanted",
    [
        key("claude-opus-5-5", tier="priority"),
        key("claude-opus-5-5", speed="fast"),
        PriceKey("openai", "claude-opus-5-5", "standard"),
    ],
)
def test_what_no_sheet_prices_is_unpriced(wanted: PriceKey) -> None:
    assert BOOK.epoch(wanted, NOW) is None


def test_rates_need_an_epoch_of_the_key() -> None:
    with pytest.raises(KeyError):
        BOOK.rates(key("claude-opus-5-5"), NOW)
    with pytest.raises(KeyError):
        BOOK.rates(key("claude-opus-4-99"), datetime(2024, 1, 1, tzinfo=UTC))


def test_rates_of_an_unknown_place_are_refused() -> None:
    with pytest.raises(KeyError):
        BOOK.rates(key("claude-opus-5-5", geo="mars"), datetime(2024, 1, 1, tzinfo=UTC))


def test_the_canonical_form_restores_an_equal_book() -> None:
    again = PriceBook.from_canonical(BOOK.canonical())
    assert again == BOOK
    assert hash(again) == hash(BOOK)
    assert again.digest == BOOK.digest
    assert again.canonical() == BOOK.canonical()
    assert again.rates(key("claude-sonnet-5-5"), CHANGE) == rates(SONNET_55)
    assert repr(again).startswith(f"<PriceBook {BOOK.digest[:12]}")


def test_another_price_is_another_book() -> None:
    content = BOOK.canonical().replace(str(SEARCH), str(SEARCH + 1))
    other = PriceBook.from_canonical(content.encode())
    assert other != BOOK
    assert other.digest != BOOK.digest
    assert BOOK.canonical() != BOOK


def test_the_packaged_book_is_read_once() -> None:
    assert PriceBook.packaged() is BOOK


@pytest.mark.parametrize("content", ["", "{}", '[{"provider": "anthropic"}]'])
def test_an_adopted_book_that_cannot_be_read_is_refused(content: str) -> None:
    with pytest.raises(ConfigurationError, match="adopted price book is unreadable"):
        PriceBook.from_canonical(content)


def test_a_book_of_a_newer_release_is_refused_rather_than_half_understood() -> None:
    entries = msgspec.json.decode(BOOK.canonical())
    entries[0]["rows"][0]["columns"][0]["season"] = "winter"
    with pytest.raises(ConfigurationError, match="season"):
        PriceBook.from_canonical(msgspec.json.encode(entries))


def test_two_entries_cannot_price_one_model() -> None:
    entries = msgspec.json.decode(BOOK.canonical())
    with pytest.raises(ConfigurationError, match="two entries price anthropic claude-"):
        PriceBook.from_canonical(msgspec.json.encode([entries[0], *entries]))
