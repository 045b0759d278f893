"""Money: from a provider's usage object to exact figures. Pure; knows no store, no clock, no network."""

from __future__ import annotations

from ledger.pricing.book import PriceBook
from ledger.pricing.cost import Figures, PriceLine, Role, price, price_lines, usd, usd_text
from ledger.pricing.rates import Rates
from ledger.pricing.usage import PROMPT_LADDER, PriceKey, Processing, Tokens, UsageEntry, normalise, normalise_json

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
    "normalise_json",
    "price",
    "price_lines",
    "usd",
    "usd_text",
]
