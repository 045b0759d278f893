"""Bars on stderr while somebody looks; silence while nobody does."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Literal

if TYPE_CHECKING:
    from rich.progress import Progress, TaskID

__all__ = ["Bar", "bar", "watched"]

Unit = Literal["share", "count"]


class Bar:
    """Something that gets done. Without a display every call is a no-op."""

    def __init__(self, display: Progress | None = None, task: TaskID | None = None) -> None:
        self._display = display
        self._task = task

    def advance(self, amount: int) -> None:
        """So much more is done."""
        if self._display is not None and self._task is not None:
            self._display.advance(self._task, amount)

    def stand(self, done: int, total: int | None) -> None:
        """So much is done in all, of so much."""
        if self._display is not None and self._task is not None:
            self._display.update(self._task, completed=done, total=total)

    def turn(self, label: str, total: int | None) -> None:
        """Begin anew, with something else."""
        if self._display is not None and self._task is not None:
            self._display.reset(self._task, total=total, description=label)


def watched() -> bool:
    """True if somebody looks at stderr."""
    return sys.stderr.isatty()


@contextmanager
def bar(label: str, total: int | None = None, unit: Unit = "count") -> Iterator[Bar]:
    """A bar for the duration of the block; it leaves no trace behind."""
    if not watched():
        yield Bar()
        return
    from rich.console import Console
    from rich.progress import (
        BarColumn,
        MofNCompleteColumn,
        Progress,
        TaskProgressColumn,
        TextColumn,
        TimeElapsedColumn,
    )

    figures = TaskProgressColumn() if unit == "share" else MofNCompleteColumn()
    columns = (TextColumn("{task.description}"), BarColumn(), figures, TimeElapsedColumn())
    with Progress(*columns, console=Console(stderr=True), transient=True) as display:
        yield Bar(display, display.add_task(label, total=total))
