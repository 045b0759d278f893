"""Reads a price sheet, the YAML that people keep, into entries of whole pico-USD.

Every amount is a quoted decimal in USD: YAML's own numbers are floats, and money is never one.
"""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from fractions import Fraction
from itertools import pairwise
from typing import Annotated, Any, Literal

import msgspec
import yaml

from ledger.errors import ConfigurationError
from ledger.pricing.rates import PriceEntry, PriceRow, RateColumn, Rates
from ledger.pricing.usage import PROMPT_LADDER

__all__ = ["read_sheet"]

_PICO_PER_TOKEN = 10**6  # from USD per million tokens
_PICO_PER_SEARCH = 10**9  # from USD per thousand searches
_BUCKET = timedelta(minutes=15)  # rollups know no finer time, so no price may change inside one

_Amount = Annotated[str, msgspec.Meta(pattern=r"^[0-9]+(\.[0-9]+)?$")]


class _Shape(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What is written in the sheet, nothing else."""


class _Prices(_Shape, frozen=True):
    input: _Amount
    output: _Amount
    write_5m: _Amount
    write_1h: _Amount
    read: _Amount


class _Column(_Shape, frozen=True):
    standard: _Prices
    batch: _Prices | Literal["half"]


class _Step(_Column, frozen=True):
    prompt_over: int


class _Row(_Column, frozen=True):
    effective_from: Annotated[datetime, msgspec.Meta(tz=True)] = msgspec.field(name="from")
    above: tuple[_Step, ...] = ()


class _Geo(_Shape, frozen=True):
    us: _Amount = "1"


class _Entry(_Shape, frozen=True):
    name: str
    models: Annotated[tuple[str, ...], msgspec.Meta(min_length=1)]
    web_search: _Amount
    rows: Annotated[tuple[_Row, ...], msgspec.Meta(min_length=1)]
    geo: _Geo = _Geo()


class _Sheet(_Shape, frozen=True):
    provider: str
    entries: tuple[dict[str, Any], ...]


def read_sheet(text: str, source: str) -> tuple[PriceEntry, ...]:
    """The entries of one provider's sheet. `ConfigurationError` names `source`, entry and field."""
    try:
        sheet = msgspec.convert(yaml.safe_load(text), _Sheet)
    except (yaml.YAMLError, msgspec.ValidationError) as error:
        raise ConfigurationError(f"{source}: {error}") from error
    return tuple(
        _read_entry(raw, sheet.provider, f"{source}: entry {raw.get('name', index)!r}")
        for index, raw in enumerate(sheet.entries)
    )


def _read_entry(raw: dict[str, Any], provider: str, where: str) -> PriceEntry:
    try:
        entry = msgspec.convert(raw, _Entry)
    except msgspec.ValidationError as error:
        raise ConfigurationError(f"{where}: {error}") from error
    search = _whole(Fraction(entry.web_search) * _PICO_PER_SEARCH, f"{where}: web_search")
    rows = []
    for index, row in enumerate(entry.rows):
        place = f"{where}: rows[{index}]"
        columns = tuple(_columns(row, entry.geo, search, place))
        rows.append(PriceRow(_instant(row.effective_from, f"{place}.from"), columns))
    for before, after in pairwise(rows):
        if before.effective_from >= after.effective_from:
            raise ConfigurationError(
                f"{where}: rows: {after.effective_from:%Y-%m-%d %H:%M} is not after the row above"
            )
    return PriceEntry(provider, tuple(sorted(entry.models)), tuple(rows))


def _instant(moment: datetime, where: str) -> datetime:
    moment = moment.astimezone(UTC)
    if (moment - datetime.min.replace(tzinfo=UTC)) % _BUCKET:
        raise ConfigurationError(f"{where}: {moment.isoformat()} is not on a quarter of an hour (UTC)")
    return moment


def _columns(row: _Row, geo: _Geo, search: int, where: str) -> Iterator[RateColumn]:
    steps: list[tuple[int, _Column, str]] = [(0, row, where)]
    for index, step in enumerate(row.above):
        place = f"{where}.above[{index}]"
        if step.prompt_over not in PROMPT_LADDER:
            raise ConfigurationError(f"{place}.prompt_over: {step.prompt_over} is none of {PROMPT_LADDER}")
        steps.append((step.prompt_over, step, place))
    for region, factor in (("", Fraction(1)), ("us", Fraction(geo.us))):
        for over, column, place in steps:
            standard = _rates(column.standard, factor, search, f"{place}.standard")
            # Halving ends at the tokens: a search in a batch costs what any search costs.
            batch, share = (column.standard, factor / 2) if column.batch == "half" else (column.batch, factor)
            yield RateColumn("standard", region, over, standard)
            yield RateColumn("batch", region, over, _rates(batch, share, search, f"{place}.batch"))


def _rates(prices: _Prices, factor: Fraction, search: int, where: str) -> Rates:
    def per_token(column: str) -> int:
        return _whole(Fraction(getattr(prices, column)) * factor * _PICO_PER_TOKEN, f"{where}.{column}")

    return Rates(
        input=per_token("input"),
        output=per_token("output"),
        write_5m=per_token("write_5m"),
        write_1h=per_token("write_1h"),
        read=per_token("read"),
        web_search=search,
    )


def _whole(pico: Fraction, where: str) -> int:
    if pico.denominator != 1:
        raise ConfigurationError(f"{where}: comes to {pico} pico-USD, and rates are whole numbers of them")
    return pico.numerator
