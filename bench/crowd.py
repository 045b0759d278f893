"""Many appenders at once: threads that start together and take single things until none is left."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

__all__ = ["together"]

_Thing = TypeVar("_Thing")


def together(append: Callable[[_Thing], object], things: Sequence[_Thing], appenders: int) -> float:
    """Seconds until every thing is appended, one at a time by each of the threads. Raises what one of them raised."""
    gate = threading.Barrier(appenders + 1)

    def work(number: int) -> None:
        gate.wait()
        for thing in things[number::appenders]:
            append(thing)

    with ThreadPoolExecutor(appenders) as pool:
        threads = [pool.submit(work, number) for number in range(appenders)]
        gate.wait()
        began = time.perf_counter()
        for thread in threads:
            thread.result()
        return time.perf_counter() - began
