"""One seed, played and judged; many of them, by several processes."""

from __future__ import annotations

import gc
import multiprocessing
import traceback
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from functools import cache
from typing import Any, NamedTuple

from ledger.backends import Database, open_database
from ledger.verify import verify
from tests.simulation.quick_database import QuickDatabase
from tests.simulation.refold import Refold
from tests.simulation.stage import SECRET, template
from tests.simulation.story import Story
from tests.support.invariants import History, check_all, i5_all_is_done, within_budget
from tests.support.witness import FakeWitness

__all__ = ["Failure", "Outcome", "failures", "replay", "run"]

_PORTION = 25
_FULL_PROOF_EVERY = 100
"""Of so many seeds one is also given to `ledger.verify`, which takes as long as a story."""


class Outcome(NamedTuple):
    """What came of a seed: the log's last hash, and how many turns of workers it took."""

    head: bytes
    turns: int


class Failure(NamedTuple):
    """A seed that does not hold what it should, with the end of its traceback."""

    seed: int
    text: str


def run(seed: int, database: Database | None = None, tell: Callable[[str], object] = lambda _line: None) -> Outcome:
    """Play the seed's story to its end and check every invariant. Raises what is wrong.

    `database` holds nothing but the adopted prices, and is closed; by default it is one in memory.
    """
    story = Story(seed, database, tell)
    stage = story.stage
    try:
        story.play()
        stage.clock.advance(2_000)  # whatever still runs anywhere has ended then
        history = History(stage.ledger)
        i5_all_is_done(history)
        check_all(
            stage.ledger,
            FakeWitness(stage.provider),
            acknowledged=stage.acknowledged,
            secrets=[SECRET],
            logged=story.logged,
            twins=story.twins,
            history=history,
            sound=_refold() if isinstance(stage.database, QuickDatabase) else None,
        )
        if story.budget is not None and story.sent_within_budget is not None:
            batches, calls = story.sent_within_budget
            within_budget(history, FakeWitness(stage.provider), story.budget, batches=batches, calls=calls)
        if seed % _FULL_PROOF_EVERY == 0 and isinstance(stage.database, QuickDatabase):
            _prove(stage.database)
        return Outcome(stage.ledger.head().hash, story.turns)
    finally:
        stage.close()


def replay(seed: int) -> str:
    """The command that tells a seed's story again."""
    return f"python -m tests.simulation {seed}"


def failures(seeds: Sequence[int], processes: int = 1) -> Iterator[list[Failure]]:
    """Run the seeds. Yields, for each portion of them that is done, those that failed."""
    portions = [seeds[start : start + _PORTION] for start in range(0, len(seeds), _PORTION)]
    if processes == 1:
        yield from map(_failures, portions)
        return
    with multiprocessing.get_context("spawn").Pool(processes) as pool:
        yield from pool.imap_unordered(_failures, portions)


def _failures(seeds: Sequence[int]) -> list[Failure]:
    found = []
    with _tidy():
        for seed in seeds:
            try:
                run(seed)
            except Exception:
                found.append(Failure(seed, traceback.format_exc(limit=-3)))
    return found


@cache
def _refold() -> Refold:
    return Refold(template())


def _prove(database: QuickDatabase) -> None:
    """The whole of `verify`, on an ordinary copy."""
    copy = open_database("sqlite://")
    try:
        with copy.read() as connection:
            own: Any = connection.connection.driver_connection
        database.copy_to(own)
        problems = verify(copy).problems
        assert not problems, f"I2: {problems}"
    finally:
        copy.close()


@contextmanager
def _tidy() -> Iterator[None]:
    """Collect garbage once, at the end: looking for it within a story of milliseconds takes longer than the story."""
    gc.collect()
    gc.freeze()
    gc.disable()
    try:
        yield
    finally:
        gc.enable()
        gc.collect()
        gc.unfreeze()
