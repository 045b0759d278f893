"""Results as tables: on a terminal, and as the page `docs/benchmarks.md`."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, Final

from rich.console import Console
from rich.table import Table

from bench.results import PARTS, Results, Taken
from bench.tables import SECTIONS, Figures

__all__ = ["BY_HAND", "page", "show", "write_page"]

BY_HAND: Final = "<!-- From here on the page is written by hand; `make bench` keeps it. -->"

_INTRODUCTION: Final = """\
# Figures

`make bench` measures, prints and stores this page; the raw figures stand in `benchmarks.json`. Absolute figures say
something about one machine only. What is compared was measured in one run, in turns, each side in a process and a
database of its own, and the median of the rounds counts. SQLite and Postgres run with every commit synced to disk
(`synchronous=FULL`, `synchronous_commit=on`), Postgres with the settings that it comes with."""

_NAMES: Final = {"sqlite": "SQLite", "postgres": "Postgres"}


def page(results: Results, by_hand: str) -> str:
    """The whole page. `by_hand` is what stands below the line in the page so far."""
    parts = [_INTRODUCTION, *_sections(results)]
    return "\n\n".join([*parts, f"{BY_HAND}\n\n{by_hand.strip()}".strip()]) + "\n"


def write_page(path: Path, results: Results) -> None:
    """Render the page anew, keeping what was written by hand."""
    known = path.read_text(encoding="utf-8") if path.exists() else ""
    path.write_text(page(results, known.partition(BY_HAND)[2]), encoding="utf-8")


def show(console: Console, part: str, database: str, taken: Taken[Any]) -> None:
    """One part on one database, as a table."""
    section = SECTIONS[part]
    for figures in section.figures({database: taken}):
        table = Table(title=f"{section.title}: {_NAMES[database]}", title_justify="left")
        for number, column in enumerate(figures.columns):
            table.add_column(_NAMES.get(column, column), justify="right" if number >= figures.words else "left")
        for row in figures.rows:
            table.add_row(*(_NAMES.get(cell, cell) for cell in row))
        console.print(table)


def _sections(results: Results) -> Iterator[str]:
    for part in PARTS:
        if taken := results.of(part):
            section = SECTIONS[part]
            yield f"## {section.title}"
            yield section.text
            for figures in section.figures(taken):
                yield _markdown(figures)
            yield _origin(taken)


def _markdown(figures: Figures) -> str:
    rule = ["---" if number < figures.words else "---:" for number in range(len(figures.columns))]
    rows: list[Sequence[str]] = [figures.columns, rule, *figures.rows]
    return "\n".join(f"| {' | '.join(_NAMES.get(cell, cell) for cell in row)} |" for row in rows)


def _origin(taken: dict[str, Taken[Any]]) -> str:
    """When, how and on what, once for databases that share it."""
    lines = [
        f"{_NAMES[database]}: {one.at} UTC, `{one.command}`; {one.machine.sentence()}."
        for database, one in taken.items()
    ]
    return f"<sub>{'<br>'.join(lines)}</sub>"
