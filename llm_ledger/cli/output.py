"""Data on stdout: JSON for programs, tables for people; a terminal gets colour and at most a screenful or two."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterable, Iterator, Sequence
from itertools import islice
from typing import TYPE_CHECKING, Any, Final, TypeVar

import msgspec

from llm_ledger.cli.words import plain

if TYPE_CHECKING:
    from rich.console import Console, RenderableType

__all__ = ["SHOWN", "Column", "on_terminal", "show", "show_list", "show_table", "write_json", "write_text"]

SHOWN: Final = 50
"""Rows of a list that a terminal shows unless it is asked for more."""

_PAGE: Final = 500
_PIPE_WIDTH: Final = 200

_Row = TypeVar("_Row")
_encode = msgspec.json.Encoder().encode


class Column(msgspec.Struct, frozen=True):
    """A column of a table. Terminals narrower than `from_width` do without it."""

    name: str
    right: bool = False
    from_width: int = 0


def on_terminal() -> bool:
    """True if stdout is looked at by a person."""
    return sys.stdout.isatty()


def write_text(line: str) -> None:
    """One line of text."""
    sys.stdout.write(f"{line}\n")


def write_json(value: Any) -> None:
    """One JSON document, in one line."""
    sys.stdout.buffer.write(_encode(value) + b"\n")


def show(*parts: RenderableType) -> None:
    """Pictures and text for people, plain where stdout is no terminal."""
    console = _console()
    for part in parts:
        console.print(part)


def show_list(
    read: Callable[[int | None, bool], Iterable[_Row]],
    columns: Sequence[Column],
    *,
    cells: Callable[[_Row], Sequence[str]],
    document: Callable[[_Row], Any],
    json: bool,
    limit: int | None,
) -> None:
    """A list: `read(limit, newest_first)` gives rows, `document` and `cells` their JSON and their spelling.

    JSON and pipes get every row from the first on, streamed; a terminal the newest `SHOWN`, newest last.
    """
    if json:
        for row in read(limit, False):
            write_json(document(row))
    elif limit is not None or not on_terminal():
        show_table(columns, map(cells, read(limit, False)))
    else:
        newest = list(islice(read(SHOWN + 1, True), SHOWN + 1))
        show_table(columns, map(cells, reversed(newest[:SHOWN])))
        if len(newest) > SHOWN:
            hint = f"the newest {SHOWN}; --limit N shows the first N, a pipe or --json gets all"
            sys.stderr.write(f"{hint}\n")


def show_table(columns: Sequence[Column], rows: Iterable[Sequence[str]]) -> None:
    """A table: ruled on a terminal, aligned text in a pipe."""
    if on_terminal():
        _ruled(columns, rows)
    else:
        for line in _aligned(columns, rows):
            write_text(line)


def _ruled(columns: Sequence[Column], rows: Iterable[Sequence[str]]) -> None:
    from rich import box
    from rich.table import Table
    from rich.text import Text

    console = _console()
    shown = [at for at, column in enumerate(columns) if column.from_width <= console.width]
    table = Table(box=box.SIMPLE_HEAD, pad_edge=False, header_style="bold")
    for at in shown:
        column = columns[at]
        table.add_column(column.name, justify="right" if column.right else "left", no_wrap=True)
    for row in rows:
        table.add_row(*(Text(plain(row[at])) for at in shown))
    console.print(table)


def _aligned(columns: Sequence[Column], rows: Iterable[Sequence[str]]) -> Iterator[str]:
    """Lines whose columns are as wide as the first page needs; later pages only widen their own rows."""
    source = iter(rows)
    widths = [len(column.name) for column in columns]
    page: list[Sequence[str]] = [[column.name for column in columns]]
    while page:
        page += ([plain(cell) for cell in row] for row in islice(source, _PAGE))
        widths = [max(width, *(len(row[at]) for row in page)) for at, width in enumerate(widths)]
        for row in page:
            padded = (
                cell.rjust(width) if column.right else cell.ljust(width)
                for cell, width, column in zip(row, widths, columns, strict=True)
            )
            yield "  ".join(padded).rstrip()
        page = [[plain(cell) for cell in row] for row in islice(source, 1)]


def _console() -> Console:
    from rich.console import Console

    return Console(highlight=False, soft_wrap=False, width=None if on_terminal() else _PIPE_WIDTH)
