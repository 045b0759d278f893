"""How fast a ledger is verified and rebuilt, and how fast it was filled."""

from __future__ import annotations

from bench.alone import alone
from bench.filled import Filled
from bench.results import FoldRate
from bench.tasks import stopwatch
from ledger import Ledger
from ledger.rebuild import rebuild
from ledger.verify import verify

__all__ = ["fill_rates", "fold_rates"]


def fill_rates(filled: Filled) -> list[FoldRate]:
    """Appending, over the whole of it and over its last tenth: what the size does to the pace."""
    tenth = filled.events - int(0.9 * filled.events)
    return [
        FoldRate("append, all of it", filled.events, filled.seconds),
        FoldRate("append, the last tenth", tenth, filled.last),
    ]


def fold_rates(filled: Filled) -> list[FoldRate]:
    """Verify (every hash, and every projection folded anew beside the stored one), then rebuild."""
    seconds = alone(_seconds, filled.url)
    return [FoldRate(what, filled.events, spent) for what, spent in seconds.items()]


def _seconds(url: str) -> dict[str, float]:
    def sound() -> None:
        problems = verify(ledger.database).problems
        if problems:
            raise RuntimeError(f"the measured ledger contradicts itself: {problems[0]}")

    with Ledger.open(url) as ledger:
        return {"verify": stopwatch(sound), "rebuild": stopwatch(rebuild, ledger.database)}
