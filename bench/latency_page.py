"""The page docs/latency.md."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Final

import msgspec

__all__ = ["BARE", "BY_HAND", "Figure", "write_page"]

BARE: Final = "bare"
"""The side that all others are compared with."""

BY_HAND: Final = "<!-- From here on the page is written by hand; `python -m bench.latency` keeps it. -->"

_INTRODUCTION: Final = """\
# What a wrapped call takes longer

`python -m bench.latency` measures and writes this page. One `ChatAnthropic` with a prompt of about 2,000 tokens calls
`ainvoke` on a transport inside the process that answers at once, so that nothing but our own work makes a difference.
A round calls every side once, in an order drawn anew; *added* is the difference to the bare call of the same round.

`bare again` is that call a second time: its figures are the noise of the machine, and what a 99th percentile can tell
at most. `markers set by hand` is what LangChain and the SDK take for a prompt in blocks instead of plain strings,
marked where the wrapper marks it. Between calls the ledger comes to rest, as it does while a provider thinks; *in a
row* it does not, so that the writing of earlier records competes for the interpreter."""

_TARGETS: Final = """\
Targets: cached and recorded behind the answer p50 < 300 µs, p99 < 1,000 µs; all switched off < 20 µs."""


class Figure(msgspec.Struct, frozen=True):
    """Microseconds: of the median call, and of the difference to the bare call of the same round."""

    side: str
    rounds: int
    whole_p50: float
    added_p50: float
    added_p99: float


def write_page(path: Path, figures: Sequence[Figure], where: str) -> None:
    """Render the page anew, keeping what was written by hand."""
    known = path.read_text(encoding="utf-8") if path.exists() else ""
    by_hand = known.partition(BY_HAND)[2].strip()
    parts = [_INTRODUCTION, _table(figures), _TARGETS, f"<sub>{where}</sub>", f"{BY_HAND}\n\n{by_hand}".strip()]
    path.write_text("\n\n".join(parts) + "\n", encoding="utf-8")


def _table(figures: Sequence[Figure]) -> str:
    lines = [
        "| side | rounds | a call, p50 µs | added, p50 µs | added, p99 µs |",
        "| --- | ---: | ---: | ---: | ---: |",
    ]
    for figure in figures:
        added = ("–", "–") if figure.side == BARE else (f"{figure.added_p50:,.0f}", f"{figure.added_p99:,.0f}")
        lines.append(f"| {figure.side} | {figure.rounds:,} | {figure.whole_p50:,.0f} | {added[0]} | {added[1]} |")
    return "\n".join(lines)
