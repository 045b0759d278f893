"""Money: from a provider's usage object to exact figures. Pure; knows no store, no clock, no network."""

from __future__ import annotations

from ledger.pricing.book import PriceBook
from ledger.pricing.cost import Figures, PriceLine, Role, price, price_lines, usd, usd_text
from ledger.pricing.rates import Rates
from ledger.pricing.usage import PROMPT_LADDER, PriceKey, Processing, Tokens, UsageEntry, normalise

__all__ = [
    "PROMPT_LADDER",
    "Figures",
    "PriceBook",
    "PriceKey",
    "PriceLine",
    "Processing",
    "Rates",
    "Role",
    "Tokens",
    "UsageEntry",
    "normalise",
    "price",
    "price_lines",
    "usd",
    "usd_text",
]
