"""Savings reports as numbers that can be added, and the same sums made the long way round."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from decimal import Decimal
from typing import Any

from ledger import Ledger
from ledger.pricing import Figures, price, usd
from ledger.queries import billed_items, requests

__all__ = ["ADDITIVE", "added", "figures", "figures_of_items"]

ADDITIVE = ("requests", "tokens", "cost", "savings", "waste")
"""Sections of the report; all in them sums, but for the percentage. The rates of `cache` do not."""


def figures(report: Mapping[str, Any]) -> dict[str, Decimal]:
    """Every figure of a report (or of a group) that can be added, by `section.name`."""
    return {
        f"{section}.{name}": Decimal(value)
        for section in ADDITIVE
        for name, value in report[section].items()
        if name not in ("percent", "currency")
    }


def added(reports: Iterable[Mapping[str, Any]]) -> dict[str, Decimal]:
    """The same of several reports together; what is zero in all of them is left out."""
    total: dict[str, Decimal] = {}
    for report in reports:
        for name, value in figures(report).items():
            total[name] = total.get(name, Decimal(0)) + value
    return {name: value for name, value in total.items() if value}


def figures_of_items(ledger: Ledger) -> dict[str, Decimal]:
    """What a report must say, item by item from what was billed: no rollup is asked."""
    sums: dict[str, Decimal] = {}
    found = billed_items(ledger, [row.id for row in requests(ledger)])
    for item in (item for items in found.values() for item in items):
        _count(sums, "tokens.uncached_input", item.tokens.uncached)
        _count(sums, "tokens.cache_write_5m", item.tokens.write_5m)
        _count(sums, "tokens.cache_write_1h", item.tokens.write_1h)
        _count(sums, "tokens.cache_read", item.tokens.read)
        _count(sums, "tokens.output", item.tokens.output)
        if item.epoch is None:
            continue
        assert item.book is not None
        rates, standard = item.book.rates(item.key, item.epoch), item.book.standard_rates(item.key, item.epoch)
        money = price(item.tokens, rates, standard, role="duplicate" if item.role == "duplicate" else "result")
        _count_money(sums, money)
        if item.role == "duplicate":
            _count(sums, "waste.duplicates", usd(money.actual))
    return {name: value for name, value in sums.items() if value}


def _count_money(sums: dict[str, Decimal], money: Figures) -> None:
    _count(sums, "cost.actual", usd(money.actual))
    _count(sums, "cost.no_cache", usd(money.no_cache))
    _count(sums, "cost.standard_no_cache", usd(money.standard_no_cache))
    _count(sums, "savings.batch", usd(money.batch_saving))
    _count(sums, "savings.cache", usd(money.cache_saving))
    _count(sums, "savings.total", usd(money.total_saving))


def _count(sums: dict[str, Decimal], name: str, value: Decimal | int) -> None:
    sums[name] = sums.get(name, Decimal(0)) + value
