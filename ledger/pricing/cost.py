"""Tokens times rates, in whole pico-USD. Nothing is rounded here."""

from __future__ import annotations

from decimal import Decimal
from typing import Literal

import msgspec

from ledger.pricing.rates import Rates
from ledger.pricing.usage import Tokens

__all__ = ["Figures", "PriceLine", "Role", "price", "price_lines", "usd", "usd_text"]

Role = Literal["result", "duplicate"]

_PICO_DIGITS = 12


class Figures(msgspec.Struct, frozen=True):
    """What was paid, and what it would have been, in pico-USD.

    `actual` A is the bill. `no_cache` Nb reprices the whole prompt as plain input at the billed rates,
    `standard_no_cache` Ns does so at standard rates. Savings are signed: a cache that cost more than it
    saved, and a batch paid twice, show as negative.
    """

    actual: int = 0
    no_cache: int = 0
    standard_no_cache: int = 0

    @property
    def batch_saving(self) -> int:
        """Ns − Nb."""
        return self.standard_no_cache - self.no_cache

    @property
    def cache_saving(self) -> int:
        """Nb − A."""
        return self.no_cache - self.actual

    @property
    def total_saving(self) -> int:
        """Ns − A: exactly the sum of the two."""
        return self.standard_no_cache - self.actual

    def __add__(self, other: Figures) -> Figures:
        return Figures(
            self.actual + other.actual,
            self.no_cache + other.no_cache,
            self.standard_no_cache + other.standard_no_cache,
        )


class PriceLine(msgspec.Struct, frozen=True):
    """One line of a bill: `amount` = `quantity` × `rate`, both money fields in pico-USD."""

    name: str
    quantity: int
    unit: Literal["tokens", "searches"]
    rate: int
    amount: int


def price(tokens: Tokens, rates: Rates, standard: Rates, *, role: Role) -> Figures:
    """The figures of one usage entry. A duplicate is paid for and replaces nothing, so it saves nothing."""
    actual = sum(line.amount for line in _all_lines(tokens, rates))
    if role == "duplicate":
        return Figures(actual)
    return Figures(actual, _uncached(tokens, rates), _uncached(tokens, standard))


def price_lines(tokens: Tokens, rates: Rates) -> tuple[PriceLine, ...]:
    """What was billed, line by line and without empty lines; the amounts sum to `Figures.actual`."""
    return tuple(line for line in _all_lines(tokens, rates) if line.quantity)


def usd(pico: int) -> Decimal:
    """Pico-USD as USD, exact whatever the decimal context."""
    return Decimal((int(pico < 0), tuple(map(int, str(abs(pico)))), -_PICO_DIGITS))


def usd_text(pico: int) -> str:
    """Pico-USD as plain USD, exact, without exponent or superfluous zeros: `0.00123`, `-0.5`, `12.25`."""
    whole, fraction = divmod(abs(pico), 10**_PICO_DIGITS)
    digits = f"{whole}.{fraction:0{_PICO_DIGITS}d}".rstrip("0").rstrip(".")
    return f"-{digits}" if pico < 0 else digits


def _uncached(tokens: Tokens, rates: Rates) -> int:
    return tokens.prompt * rates.input + tokens.output * rates.output + tokens.web_searches * rates.web_search


def _all_lines(tokens: Tokens, rates: Rates) -> tuple[PriceLine, ...]:
    return (
        _line("uncached input", tokens.uncached, rates.input),
        _line("cache write 5m", tokens.write_5m, rates.write_5m),
        _line("cache write 1h", tokens.write_1h, rates.write_1h),
        _line("cache read", tokens.read, rates.read),
        _line("output", tokens.output, rates.output),
        _line("web search", tokens.web_searches, rates.web_search, unit="searches"),
    )


def _line(name: str, quantity: int, rate: int, unit: Literal["tokens", "searches"] = "tokens") -> PriceLine:
    return PriceLine(name, quantity, unit, rate, quantity * rate)
