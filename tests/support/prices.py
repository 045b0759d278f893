"""Price books of a few lines, whose arithmetic a reader can follow."""

from __future__ import annotations

from decimal import Decimal

from ledger.pricing import PriceBook

__all__ = ["price_book"]

SINCE_EVER = "2024-01-01T00:00:00Z"


def price_book(models: dict[str, str | list[tuple[str, str]]]) -> PriceBook:
    """Model → input price in USD per million tokens, or [(from, price)…]. Output 5×, writes 1.25× and 2×,
    reads 0.1×, a batch half of it, a search $0.01.
    """
    lines = ["provider: anthropic", "entries:"]
    for model, prices in models.items():
        lines += [f"  - name: {model}", f"    models: [{model}]", '    web_search: "10"', "    rows:"]
        for start, amount in [(SINCE_EVER, prices)] if isinstance(prices, str) else prices:
            lines += [
                f"      - from: {start}",
                f"        standard: {_columns(Decimal(amount))}",
                "        batch: half",
            ]
    return PriceBook.from_yaml("\n".join(lines))


def _columns(amount: Decimal) -> str:
    factors = {"input": "1", "output": "5", "write_5m": "1.25", "write_1h": "2", "read": "0.1"}
    return "{" + ", ".join(f'{name}: "{amount * Decimal(factor):f}"' for name, factor in factors.items()) + "}"
