"""A measurement in a process of its own: what one side imported, or left to collect, is not the next one's burden."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import active_children, get_context
from typing import Final, TypeVar

__all__ = ["alone"]

PATIENCE_SECONDS: Final = 3600.0

_Task = TypeVar("_Task")
_Answer = TypeVar("_Answer")


def alone(measure: Callable[[_Task], _Answer], task: _Task) -> _Answer:
    """`measure(task)` in a new interpreter. Both travel by pickle; what it raises is raised here.

    Raises TimeoutError for one that hangs, and ends its process.
    """
    with ProcessPoolExecutor(1, mp_context=get_context("spawn")) as pool:
        try:
            return pool.submit(measure, task).result(PATIENCE_SECONDS)
        except TimeoutError:
            for process in active_children():
                process.kill()
            raise
