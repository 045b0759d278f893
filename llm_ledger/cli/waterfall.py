"""The savings as a picture: from what it would have cost down to what it cost."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from decimal import Decimal
from typing import TYPE_CHECKING, Any, Final

import msgspec

from llm_ledger.cli.words import dollars, percent

if TYPE_CHECKING:
    from rich.table import Table

__all__ = ["Step", "money_digits", "picture", "steps"]

_CELLS: Final = 32
_EIGHTHS: Final = " ▏▎▍▌▋▊▉█"


class Step(msgspec.Struct, frozen=True):
    """One bar, from `start` to `end` in USD. `kind`: total, saving, or loss (a saving that is none)."""

    label: str
    amount: str
    share: str
    start: Decimal
    end: Decimal
    kind: str


def steps(report: Mapping[str, Any]) -> list[Step]:
    """The four bars of a `savings` report. They meet: each begins where the one before it ends."""
    cost, saved = report["cost"], report["savings"]
    whole, billed, actual = (Decimal(cost[name]) for name in ("standard_no_cache", "no_cache", "actual"))
    return [
        _total("standard price, no cache", cost["standard_no_cache"], cost["standard_no_cache"]),
        _saving("batch saving", saved["batch"], cost["standard_no_cache"], whole, billed),
        _saving("cache saving", saved["cache"], cost["standard_no_cache"], billed, actual),
        _total("actual cost", cost["actual"], cost["standard_no_cache"]),
    ]


def picture(bars: Sequence[Step]) -> Table:
    """The bars, drawn to one scale."""
    from rich.table import Table
    from rich.text import Text

    widest = max((max(abs(bar.start), abs(bar.end)) for bar in bars), default=Decimal(0))
    styles = {"total": "bold", "saving": "green", "loss": "red"}
    digits = money_digits([bar.amount for bar in bars])
    table = Table.grid(padding=(0, 2))
    table.add_column(no_wrap=True)
    table.add_column(width=_CELLS, no_wrap=True)
    table.add_column(justify="right")
    table.add_column(justify="right")
    for bar in bars:
        style = styles[bar.kind]
        drawn = Text(_drawn(bar.start, bar.end, widest), style=style)
        table.add_row(Text(bar.label), drawn, Text(dollars(bar.amount, digits), style=style), Text(bar.share))
    return table


def money_digits(amounts: Sequence[str]) -> int:
    """Decimals that suit amounts shown together: the smaller the largest, the more."""
    largest = max((abs(Decimal(amount)) for amount in amounts), default=Decimal(0))
    return 2 if largest >= 100 else 4 if largest >= 1 else 6


def _total(label: str, amount: str, whole: str) -> Step:
    return Step(label, amount, percent(amount, whole), Decimal(0), Decimal(amount), "total")


def _saving(label: str, saved: str, whole: str, before: Decimal, after: Decimal) -> Step:
    change = str(-Decimal(saved))
    kind = "loss" if Decimal(saved) < 0 else "saving"
    return Step(f"{'+' if kind == 'loss' else '−'} {label}", change, percent(change, whole), before, after, kind)


def _drawn(start: Decimal, end: Decimal, widest: Decimal) -> str:
    """Cells up to an eighth: full ones, and a fitting last one. The first cell is always a full one."""
    if not widest:
        return ""
    low, high = sorted((_eighths(start, widest), _eighths(end, widest)))
    skipped = low // 8
    full, rest = divmod(max(high - skipped * 8, 0), 8)
    if low == high:
        return " " * skipped
    return " " * skipped + _EIGHTHS[8] * full + (_EIGHTHS[rest] if rest else "")


def _eighths(amount: Decimal, widest: Decimal) -> int:
    return int((max(amount, Decimal(0)) * _CELLS * 8 / widest).to_integral_value())
