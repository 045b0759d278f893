"""The price book: which rates were in force for a key at an instant."""

from __future__ import annotations

import hashlib
from bisect import bisect_right
from collections.abc import Iterable
from datetime import datetime
from functools import cache
from importlib import resources

import msgspec

from ledger.errors import ConfigurationError
from ledger.pricing.rates import PriceEntry, PriceRow, Rates
from ledger.pricing.sheet import read_sheet
from ledger.pricing.usage import PriceKey, undated

__all__ = ["PriceBook", "Rates"]


class PriceBook:
    """Effective-dated prices of every provider. Immutable; equal books have equal content.

    Lookups are memoised per key, so that a usage event costs one dictionary look-up and one bisection.
    """

    def __init__(self, entries: Iterable[PriceEntry]) -> None:
        """`ConfigurationError` when two entries claim the same model."""
        self._entries = tuple(sorted(entries, key=lambda entry: (entry.provider, entry.models)))
        self._by_model: dict[tuple[str, str], PriceEntry] = {}
        for entry in self._entries:
            for model in entry.models:
                if (entry.provider, model) in self._by_model:
                    raise ConfigurationError(f"price book: two entries price {entry.provider} {model}")
                self._by_model[entry.provider, model] = entry
        self._starts: dict[PriceKey, tuple[datetime, ...]] = {}
        self._rates: dict[tuple[PriceKey, datetime], Rates] = {}

    @classmethod
    def packaged(cls) -> PriceBook:
        """The book that came with this release: one sheet per provider in `ledger/pricing/data`. Cached."""
        return _packaged()

    @classmethod
    def from_yaml(cls, text: str, source: str = "price sheet") -> PriceBook:
        """A book of one sheet. `ConfigurationError` names `source`, entry and field of what is wrong."""
        return cls(read_sheet(text, source))

    @classmethod
    def from_canonical(cls, canonical: str | bytes) -> PriceBook:
        """The book that `canonical()` was taken from. `ConfigurationError` when it is not one."""
        try:
            return cls(msgspec.json.decode(canonical, type=tuple[PriceEntry, ...]))
        except msgspec.DecodeError as error:
            raise ConfigurationError(f"adopted price book is unreadable: {error}") from error

    def canonical(self) -> str:
        """The whole content as JSON, byte for byte the same for equal books. All amounts are pico-USD."""
        return msgspec.json.encode(self._entries, order="sorted").decode()

    @property
    def digest(self) -> str:
        """SHA-256 of the canonical content, in hex."""
        return hashlib.sha256(self.canonical().encode()).hexdigest()

    def __eq__(self, other: object) -> bool:
        return isinstance(other, PriceBook) and self._entries == other._entries

    def __hash__(self) -> int:
        return hash(self._entries)

    def __repr__(self) -> str:
        return f"<PriceBook {self.digest[:12]}, {len(self._by_model)} models>"

    def epoch(self, key: PriceKey, at: datetime) -> datetime | None:
        """Start of the price row in force at `at` (aware). None: unpriced, and never to be shown as $0.

        Unpriced are unknown models, tiers and speeds that no sheet prices, and instants before the first row.
        """
        starts = self._starts.get(key)
        if starts is None:
            starts = self._starts[key] = tuple(row.effective_from for row in self._rows(key))
        index = bisect_right(starts, at)
        return starts[index - 1] if index else None

    def rates(self, key: PriceKey, epoch: datetime) -> Rates:
        """What is billed under that key from that row. `KeyError` unless `epoch` is one of the key's."""
        rates = self._rates.get((key, epoch))
        if rates is None:
            row = next((row for row in self._rows(key) if row.effective_from == epoch), None)
            if row is None:
                raise KeyError(key, epoch)
            rates = row.rates(key.processing, key.geo, key.prompt_over)
            self._rates[key, epoch] = rates
        return rates

    def standard_rates(self, key: PriceKey, epoch: datetime) -> Rates:
        """What the same would have cost with standard processing."""
        if key.processing == "standard":
            return self.rates(key, epoch)
        return self.rates(msgspec.structs.replace(key, processing="standard"), epoch)

    def _rows(self, key: PriceKey) -> tuple[PriceRow, ...]:
        if key.tier or key.speed:
            return ()
        entry = self._by_model.get((key.provider, key.model)) or self._by_model.get(
            (key.provider, undated(key.model))
        )
        return entry.rows if entry is not None else ()


@cache
def _packaged() -> PriceBook:
    folder = resources.files("ledger.pricing") / "data"
    sheets = sorted((file for file in folder.iterdir() if file.name.endswith(".yaml")), key=lambda file: file.name)
    return PriceBook(
        entry
        for file in sheets
        for entry in read_sheet(file.read_text(encoding="utf-8"), f"ledger/pricing/data/{file.name}")
    )
