"""Prices as the arithmetic wants them: whole pico-USD, everything fractional already resolved.

These shapes are stored (`PriceBook.canonical`): a field this release does not know refuses the book rather
than pricing without it.
"""

from __future__ import annotations

from datetime import datetime

import msgspec

from ledger.pricing.usage import Processing

__all__ = ["PriceEntry", "PriceRow", "RateColumn", "Rates"]


class Rates(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Pico-USD (10^-12 USD) per token; `web_search` pico-USD per search."""

    input: int
    output: int
    write_5m: int
    write_1h: int
    read: int
    web_search: int


class RateColumn(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The rates of one way to be served, for prompts of more than `prompt_over` tokens."""

    processing: Processing
    geo: str
    prompt_over: int
    rates: Rates


class PriceRow(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Prices in force from an instant (UTC, on a quarter of an hour) until the next row's."""

    effective_from: datetime
    columns: tuple[RateColumn, ...]

    def rates(self, processing: Processing, geo: str, prompt_over: int) -> Rates:
        """The column for a prompt beyond that step of the ladder; `KeyError` where there is none."""
        fitting = (
            column
            for column in self.columns
            if column.processing == processing and column.geo == geo and column.prompt_over <= prompt_over
        )
        column = max(fitting, key=lambda column: column.prompt_over, default=None)
        if column is None:
            raise KeyError(processing, geo, prompt_over)
        return column.rates


class PriceEntry(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Models that share their prices over all time. `rows` ascend in time."""

    provider: str
    models: tuple[str, ...]
    rows: tuple[PriceRow, ...]
