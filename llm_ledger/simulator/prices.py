"""The price list of the simulated provider, and what a usage costs by it.

Written by hand from the provider's price page, in USD per million tokens, which is the same number as
micro-dollars per token. Money is integer pico-USD (10^-12 USD); every rate below is a whole number of them,
also halved and with the tenth for the US on top.
"""

from __future__ import annotations

from datetime import UTC, datetime
from decimal import Decimal

import msgspec

from llm_ledger.simulator.catalogue import Model
from llm_ledger.simulator.clock import instant

__all__ = ["PICO", "WEB_SEARCH", "Usage", "cost", "dollars"]

PICO = 10**12
WEB_SEARCH = 10 * PICO // 1_000


class Usage(msgspec.Struct, frozen=True, kw_only=True):
    """Billed quantities of one answer, in tokens; the input columns do not overlap."""

    uncached: int
    write_5m: int = 0
    write_1h: int = 0
    read: int = 0
    output: int = 0
    web_searches: int = 0

    @property
    def prompt(self) -> int:
        """Every input token, cached or not."""
        return self.uncached + self.write_5m + self.write_1h + self.read


class _Rates(msgspec.Struct, frozen=True):
    """Pico-USD per token."""

    uncached: int
    output: int
    write_5m: int
    write_1h: int
    read: int


def _rates(*dollars_per_million: str) -> _Rates:
    columns = [Decimal(price) * 10**6 for price in dollars_per_million]
    if any(column % 20 for column in columns):
        raise ValueError("a rate must stay whole when it is halved and raised by a tenth")
    return _Rates(*map(int, columns))


_OPUS = _rates("5", "25", "6.25", "10", "0.50")
_OPUS_4 = _rates("15", "75", "18.75", "30", "1.50")
_SONNET = _rates("3", "15", "3.75", "6", "0.30")

_LIST: dict[str, _Rates] = {
    "claude-fable-5-2": _rates("8", "40", "10", "16", "0.20"),
    "claude-mythos-5-2": _rates("8", "40", "10", "16", "0.20"),
    "claude-fable-5-1": _rates("10", "50", "12.5", "20", "0.25"),
    "claude-fable-5": _rates("10", "50", "12.5", "20", "1"),
    "claude-opus-5-5": _rates("4", "20", "5", "8", "0.20"),
    "claude-opus-5": _OPUS,
    "claude-opus-4-8": _OPUS,
    "claude-opus-4-7": _OPUS,
    "claude-opus-4-6": _OPUS,
    "claude-opus-4-5-20251101": _OPUS,
    "claude-opus-4-1-20250805": _OPUS_4,
    "claude-opus-4-20250514": _OPUS_4,
    "claude-sonnet-5-5": _rates("2", "10", "2.5", "4", "0.10"),
    "claude-sonnet-5": _rates("2", "10", "2.5", "4", "0.20"),
    "claude-sonnet-4-6": _SONNET,
    "claude-sonnet-4-5-20250929": _SONNET,
    "claude-sonnet-4-20250514": _SONNET,
    "claude-3-7-sonnet-20250219": _SONNET,
    "claude-3-5-sonnet-20241022": _SONNET,
    "claude-haiku-5-5": _rates("0.10", "0.50", "0.125", "0.20", "0.01"),
    "claude-haiku-4-5-20251001": _rates("1", "5", "1.25", "2", "0.10"),
}

_SONNET_55_READS_FELL = instant(datetime(2026, 10, 7, tzinfo=UTC))
_SONNET_55_BEFORE = _rates("2", "10", "2.5", "4", "0.20")

_HAIKU_55_LONG_ABOVE = 100_000
_HAIKU_55_LONG = _rates("0.50", "2.50", "0.625", "1.00", "0.05")


def _list_rates(model: Model, usage: Usage, at: int) -> _Rates:
    if model.id == "claude-sonnet-5-5" and at < _SONNET_55_READS_FELL:
        return _SONNET_55_BEFORE
    if model.id == "claude-haiku-5-5" and usage.prompt > _HAIKU_55_LONG_ABOVE:
        return _HAIKU_55_LONG
    return _LIST[model.id]


def cost(model: Model, usage: Usage, *, at: int, batch: bool, geo: str) -> int:
    """Pico-USD for one answer.

    `at` is the price instant: of a batch item its batch's creation, of a call its response. Batches halve
    every token column, inference in the US adds a tenth to it; web searches cost the same everywhere.
    """
    rates = _list_rates(model, usage, at)
    tokens = (
        usage.uncached * rates.uncached
        + usage.write_5m * rates.write_5m
        + usage.write_1h * rates.write_1h
        + usage.read * rates.read
        + usage.output * rates.output
    )
    if geo == "us" and model.regional:
        tokens = tokens * 11 // 10
    if batch:
        tokens //= 2
    return tokens + usage.web_searches * WEB_SEARCH


def dollars(pico: int) -> str:
    """An amount as an exact decimal string of USD, without trailing zeros: `12.00345`."""
    whole, part = divmod(pico, PICO)
    digits = f"{part:012d}".rstrip("0")
    return f"{whole}.{digits}" if digits else str(whole)
