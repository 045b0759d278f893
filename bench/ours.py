"""Our side: the public API, encoding, hashes and projections included."""

from __future__ import annotations

from bench.crowd import together
from bench.tasks import APPENDERS, Bulk, Commits, Paces, settled, stopwatch
from bench.workload import singles
from ledger import Ledger
from ledger.backends import open_database
from ledger.migrate import upgrade

__all__ = ["bulk", "commits", "opened"]


def bulk(task: Bulk) -> float:
    """Seconds inside `Ledger.append`."""
    lists = list(task.lists())
    with opened(task.url) as ledger:
        settled()
        return sum(stopwatch(ledger.append, events) for events in lists)


def commits(task: Commits) -> Paces:
    """Single events: one after the other, then by threads that share the ledger."""
    events = [[event] for event in singles(task.single + task.shared)]
    with opened(task.url) as ledger:
        settled()
        seconds = sum(stopwatch(ledger.append, one) for one in events[: task.single])
        shared = together(ledger.append, events[task.single :], APPENDERS)
    return Paces(task.single / seconds, task.shared / shared)


def opened(url: str) -> Ledger:
    """A new ledger."""
    database = open_database(url)
    upgrade(database)
    database.close()
    return Ledger.open(url)
