"""The savings report: integer sums of usage in, exact money and rates out. Pure assembly.

Shape and formulas are those of `llm-ledger savings --json`. Money is a decimal string in USD, exact.
"""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime
from decimal import Decimal
from fractions import Fraction
from typing import Any

import msgspec

from ledger.pricing import Figures, PriceBook, PriceKey, Role, Tokens, price, usd_text

__all__ = ["OutcomeSums", "Period", "Tally", "UsageSums", "savings_report"]

PERCENT_DIGITS = 2
RATE_DIGITS = 4


class UsageSums(msgspec.Struct, frozen=True):
    """The measures of one rollup row. Requests count once, in the row of their response's own usage.

    `marked`: requests that carried a cache marker; `hits`: requests that read from the cache.
    """

    tokens: Tokens
    requests: int = 0
    marked: int = 0
    hits: int = 0


class OutcomeSums(msgspec.Struct, frozen=True):
    """How requests ended. `cost_unknown` are those among them whose cost no record can tell."""

    succeeded: int = 0
    failed: int = 0
    canceled: int = 0
    cost_unknown: int = 0


class Period(msgspec.Struct, frozen=True):
    """What the report covers: from `since` (inclusive) until `until` (exclusive); None is unbounded."""

    since: datetime | None = None
    until: datetime | None = None
    timezone: str = "UTC"


class Tally:
    """Adds up rollup rows, then reports. Order does not matter.

    Usage without a price counts in the tokens, its requests as unpriced, and brings no money. Tokens of
    duplicates count, since they were billed; the rates over requests leave duplicates out.
    """

    __slots__ = (
        "_duplicates",
        "_figures",
        "_hits",
        "_marked",
        "_outcomes",
        "_tokens",
        "_unpriced",
        "_unread",
    )

    def __init__(self) -> None:
        self._tokens = Tokens()
        self._figures = Figures()
        self._outcomes = OutcomeSums()
        self._unpriced = self._marked = self._hits = 0
        self._duplicates = self._unread = 0

    def add_usage(self, key: PriceKey, epoch: datetime | None, role: Role, sums: UsageSums, book: PriceBook) -> None:
        """One rollup row, priced by the book's row that starts at `epoch`; None is unpriced."""
        self._tokens += sums.tokens
        if role == "result":
            self._marked += sums.marked
            self._hits += sums.hits
        if epoch is None:
            self._unpriced += sums.requests if role == "result" else 0
            return
        figures = price(sums.tokens, book.rates(key, epoch), book.standard_rates(key, epoch), role=role)
        self._figures += figures
        if role == "duplicate":
            self._duplicates += figures.actual

    def add_outcomes(self, sums: OutcomeSums) -> None:
        """How some more requests ended."""
        self._outcomes = OutcomeSums(
            self._outcomes.succeeded + sums.succeeded,
            self._outcomes.failed + sums.failed,
            self._outcomes.canceled + sums.canceled,
            self._outcomes.cost_unknown + sums.cost_unknown,
        )

    def add_unread_writes(
        self, tokens_5m: int, tokens_1h: int, key: PriceKey, epoch: datetime | None, book: PriceBook
    ) -> None:
        """Cache writes that nobody read: what they cost above plain input. Unpriced ones bring no money."""
        if epoch is None:
            return
        rates = book.rates(key, epoch)
        self._unread += tokens_5m * (rates.write_5m - rates.input)
        self._unread += tokens_1h * (rates.write_1h - rates.input)

    def report(self) -> dict[str, Any]:
        """The report without period and groups.

        `percent` is of the cost at standard rates without cache, to 2 digits; hit rates are fractions of 1
        and `reuse_factor` tokens read per token written, both to 4. Rounding is half-even; null where
        there is nothing to divide by.
        """
        outcomes, tokens, figures = self._outcomes, self._tokens, self._figures
        return {
            "requests": {
                "total": outcomes.succeeded + outcomes.failed + outcomes.canceled,
                "succeeded": outcomes.succeeded,
                "failed": outcomes.failed,
                "canceled": outcomes.canceled,
                "unpriced": self._unpriced,
                "cost_unknown": outcomes.cost_unknown,
            },
            "tokens": {
                "uncached_input": tokens.uncached,
                "cache_write_5m": tokens.write_5m,
                "cache_write_1h": tokens.write_1h,
                "cache_read": tokens.read,
                "output": tokens.output,
            },
            "cost": {
                "actual": usd_text(figures.actual),
                "no_cache": usd_text(figures.no_cache),
                "standard_no_cache": usd_text(figures.standard_no_cache),
                "currency": "USD",
            },
            "savings": {
                "batch": usd_text(figures.batch_saving),
                "cache": usd_text(figures.cache_saving),
                "total": usd_text(figures.total_saving),
                "percent": _ratio(100 * figures.total_saving, figures.standard_no_cache, PERCENT_DIGITS),
            },
            "waste": {
                "duplicates": usd_text(self._duplicates),
                "unread_writes": usd_text(self._unread),
            },
            "cache": {
                "token_hit_rate": _ratio(tokens.read, tokens.prompt, RATE_DIGITS),
                "request_hit_rate": _ratio(self._hits, self._marked, RATE_DIGITS),
                "reuse_factor": _ratio(tokens.read, tokens.writes, RATE_DIGITS),
            },
        }


def savings_report(period: Period, total: Tally, groups: Iterable[tuple[str | None, Tally]]) -> dict[str, Any]:
    """The whole of `savings --json`. Each group is its `name` and the same report over its rows.

    The name None is the group of what carries no such tag.
    """
    return {
        "period": {
            "since": _iso(period.since),
            "until": _iso(period.until),
            "timezone": period.timezone,
        },
        **total.report(),
        "groups": [{"name": name, **tally.report()} for name, tally in groups],
    }


def _iso(moment: datetime | None) -> str | None:
    return moment.isoformat() if moment is not None else None


def _ratio(numerator: int, denominator: int, digits: int) -> str | None:
    """The quotient as plain text with that many digits, rounded half-even from exact integers."""
    if denominator == 0:
        return None
    units = round(Fraction(numerator * 10**digits, denominator))
    return f"{Decimal((int(units < 0), tuple(map(int, str(abs(units)))), -digits)):f}"
