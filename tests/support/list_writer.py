"""`python -m tests.support.list_writer URL NAME EVENTS`: appends lists of 1 to 500 events until so many are stored.

Every list belongs to the writer's own stream, and now and then ends with an event of a stream that all writers want,
so that some lists are refused as a whole; others are rolled back by a guard. Prints how many events were stored,
the sum of their positions, and how many lists were refused.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator
from itertools import islice
from random import Random
from typing import Final

import msgspec
from sqlalchemy import Connection

from ledger import Ledger, NewEvent
from ledger.errors import VersionConflict
from ledger.events import ConfigChanged

__all__ = ["CONTESTED"]

CONTESTED: Final = "config/contested"

_BODY: Final = ConfigChanged(version="1", config=msgspec.Raw(b'{"limits":{"batch":10000,"rate":0.5}}'))
_MOST: Final = 500


class RolledBack(Exception):
    """The guard's refusal."""


def refuse(_connection: Connection) -> None:
    raise RolledBack


def events(ledger: Ledger, stream: str, after: int) -> Iterator[NewEvent]:
    """The next events of a stream that is at that version."""
    while True:
        after += 1
        yield NewEvent(stream, after, _BODY, ledger.ids.new(), ledger.clock.now())


def main(url: str, name: str, wanted: int) -> None:
    random = Random(name)
    stored = contested = positions = refused = 0
    with Ledger.open(url) as ledger:
        while stored < wanted:
            many = min(random.randint(1, _MOST), wanted - stored)
            ours = list(islice(events(ledger, f"config/{name}", stored), many))
            both = random.random() < 0.2
            guard = refuse if not refused or random.random() < 0.1 else None
            try:
                got = ledger.append([*ours, *islice(events(ledger, CONTESTED, contested), both)], guard=guard)
            except VersionConflict as conflict:
                contested = conflict.actual  # no other stream has two writers
                refused += 1
            except RolledBack:
                refused += 1
            else:
                stored += many
                contested += both
                positions += sum(got[:many])
    sys.stdout.write(f"{stored} {positions} {refused}\n")


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2], int(sys.argv[3]))
