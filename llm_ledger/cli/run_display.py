"""How far a run is: a bar for somebody who looks, a line now and then for a log."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Final

from ledger import Ledger
from ledger.clock import Clock
from ledger.queries import Outstanding
from ledger.savings import Period
from ledger.summary import savings
from llm_ledger.cli.guard import say
from llm_ledger.cli.logs import log_to
from llm_ledger.cli.progress import watched
from llm_ledger.cli.words import counted, dollars

if TYPE_CHECKING:
    from rich.progress import Progress, TaskID

__all__ = ["RunDisplay", "run_display"]

_log = logging.getLogger(__name__)

BAR_SECONDS: Final = 1.0
LINE_SECONDS: Final = 5.0


class RunDisplay:
    """Says how far the run is; at most every few seconds, and only if something changed."""

    every: float = LINE_SECONDS

    def __init__(self, ledger: Ledger) -> None:
        self._ledger = ledger
        self._clock: Clock = ledger.clock
        self._total = 0
        self._said: Outstanding | None = None
        self._said_at = self._clock.monotonic()

    def stand(self, left: Outstanding) -> None:
        """So much is left to do."""
        self._total = max(self._total, left.requests)
        now = self._clock.monotonic()
        if left == self._said or now - self._said_at < self.every:
            return
        self._said, self._said_at = left, now
        cost = savings(self._ledger, Period())["cost"]["actual"]
        self.draw(self._total - left.requests, self._total, left.batches, cost)

    def draw(self, done: int, total: int, batches: int, cost: str) -> None:
        """Show it."""
        _log.info(
            "%s of %s done, %s under way, ledger at %s",
            f"{done:,}",
            counted(total, "request"),
            counted(batches, "batch"),
            dollars(cost),
        )

    def say(self, line: str) -> None:
        """A line of its own."""
        say(line)


class _Drawn(RunDisplay):
    every = BAR_SECONDS

    def __init__(self, ledger: Ledger, display: Progress, task: TaskID) -> None:
        super().__init__(ledger)
        self._display = display
        self._task = task

    def draw(self, done: int, total: int, batches: int, cost: str) -> None:
        facts = f"{counted(batches, 'batch')} under way, ledger at {dollars(cost)}"
        self._display.update(self._task, completed=done, total=total, facts=facts)

    def say(self, line: str) -> None:
        self._display.console.print(f"llm-ledger: {line}", markup=False)


@contextmanager
def run_display(ledger: Ledger) -> Iterator[RunDisplay]:
    """The display of a run, and logs that do not get into its way."""
    if not watched():
        log_to()
        yield RunDisplay(ledger)
        return
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

    columns = (
        TextColumn("requests"),
        BarColumn(),
        MofNCompleteColumn(),
        TextColumn("{task.fields[facts]}"),
        TimeElapsedColumn(),
    )
    with Progress(*columns, console=Console(stderr=True, highlight=False), transient=True) as display:
        log_to(lambda line: display.console.print(line, markup=False))
        try:
            yield _Drawn(ledger, display, display.add_task("run", total=None, facts=""))
        finally:
            log_to()
