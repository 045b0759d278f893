"""The savings as a picture: from what it would have cost down to what it cost."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from decimal import Decimal
from typing import TYPE_CHECKING, Any, Final

import msgspec

from llm_ledger.cli.words import dollars, percent

if TYPE_CHECKING:
    from rich.console import Console, ConsoleOptions, RenderableType, RenderResult
    from rich.table import Table

__all__ = ["Step", "money_digits", "picture", "steps"]

_CELLS: Final = 32
_FEWEST_CELLS: Final = 8
_GAP: Final = 2
_STYLES: Final = {"total": "bold", "saving": "green", "loss": "red"}
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


def picture(bars: Sequence[Step]) -> RenderableType:
    """The bars, drawn to one scale. Where room is scarce they get shorter, then go; the money stays."""
    return _Picture(bars)


class _Picture:
    """Rich asks it to draw itself, and says how wide."""

    def __init__(self, bars: Sequence[Step]) -> None:
        digits = money_digits([bar.amount for bar in bars])
        self._rows = [(bar, dollars(bar.amount, digits)) for bar in bars]
        self._widest = max((max(abs(bar.start), abs(bar.end)) for bar in bars), default=Decimal(0))

    def __rich_console__(self, _console: Console, options: ConsoleOptions) -> RenderResult:
        yield self._table(self._cells(options.max_width))

    def _cells(self, width: int) -> int:
        """Cells of the longest bar, 0 for none: what the words and figures leave of so many columns."""
        columns = zip(*((bar.label, money, bar.share) for bar, money in self._rows), strict=True)
        taken = sum(max(map(len, column)) + _GAP for column in columns)
        cells = min(_CELLS, width - taken)
        return cells if cells >= _FEWEST_CELLS else 0

    def _table(self, cells: int) -> Table:
        from rich.table import Table
        from rich.text import Text

        table = Table.grid(padding=(0, _GAP))
        table.add_column(no_wrap=cells > 0)
        if cells:
            table.add_column(width=cells, no_wrap=True)
        table.add_column(justify="right", no_wrap=True)
        table.add_column(justify="right", no_wrap=True)
        for bar, money in self._rows:
            style = _STYLES[bar.kind]
            drawn = [Text(_drawn(bar.start, bar.end, self._widest, cells), style=style)] if cells else []
            table.add_row(Text(bar.label), *drawn, Text(money, style=style), Text(bar.share))
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


def _drawn(start: Decimal, end: Decimal, widest: Decimal, cells: int) -> str:
    """Up to an eighth of a cell: full cells, and a fitting last one. The first cell is always a full one."""
    if not widest:
        return ""
    low, high = sorted(_eighths(amount, widest, cells) for amount in (start, end))
    skipped = low // 8
    full, rest = divmod(max(high - skipped * 8, 0), 8)
    if low == high:
        return " " * skipped
    return " " * skipped + _EIGHTHS[8] * full + (_EIGHTHS[rest] if rest else "")


def _eighths(amount: Decimal, widest: Decimal, cells: int) -> int:
    return int((max(amount, Decimal(0)) * cells * 8 / widest).to_integral_value())
