"""Projections made anew from the log, while everybody goes on appending and reading.

    beside the ledger   fold the log into tables of one's own, portion by portion, until little is left
    under the lock      fold the rest, put right every row of the ledger that is not as folded, move the checkpoints

Readers see the old rows or the new ones, never something between. A process that dies on the way leaves the
projections as they were, and nothing behind that the next rebuild would not clear away.
"""

from __future__ import annotations

from typing import Final

from ledger import replay
from ledger.backends import Database
from ledger.differences import differences
from ledger.projections import fold
from ledger.replay import Progress, facts_after, head, silent
from ledger.shadow import Shadow, beside
from ledger.upcast import check_chain

__all__ = ["Progress", "differences", "rebuild"]

ROUNDS: Final = 10
"""How often to go after a log that keeps growing by more than a portion, before making it wait."""


def rebuild(database: Database, progress: Progress = silent) -> int:
    """Make every projection anew. Returns the events folded.

    Raises `DatabaseUnusable`, everything left as it was, where another rebuild is under way, where the database
    takes no tables of one's own, and where somebody keeps the ledger locked.
    """
    check_chain()
    with beside(database) as shadow:
        done = _catch_up(shadow, progress)
        shadow.lock()
        while (further := _fold_next(shadow, done, progress)) != done:
            done = further
        shadow.switch()
    return done


def _catch_up(shadow: Shadow, progress: Progress) -> int:
    """Fold without the lock until less than a portion is left. Returns how far that went."""
    done = 0
    for _ in range(ROUNDS):
        goal = head(shadow.connection)
        if goal - done < replay.PORTION:
            break
        while done < goal:
            done = _fold_next(shadow, done, progress)
            shadow.pause()
    return done


def _fold_next(shadow: Shadow, done: int, progress: Progress) -> int:
    """Fold one portion. Returns where it ends: where it began at the end of the log."""
    facts = facts_after(shadow.connection, done)
    if not facts:
        return done
    fold(shadow.database, shadow.connection, facts)
    progress(facts[-1].position, head(shadow.connection))
    return facts[-1].position
