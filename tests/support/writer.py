"""A process that appends to a ledger and says so: `python -m tests.support.writer URL NAME APPENDS SIZE`.

Prints a line `<first position> <version>…` after each append that was acknowledged.
"""

from __future__ import annotations

import sys

import msgspec

from ledger import Ledger, NewEvent
from ledger.events import ConfigChanged


def main(url: str, name: str, appends: int, size: int) -> None:
    with Ledger.open(url) as ledger:
        say("ready")
        for turn in range(appends):
            events = []
            for version in range(turn * size + 1, turn * size + size + 1):
                body = ConfigChanged(version=str(version), config=msgspec.Raw(b'{"text":"%s"}' % (b"x" * 500)))
                events.append(NewEvent(f"config/{name}", version, body, ledger.ids.new(), ledger.clock.now()))
            positions = ledger.append(events)
            say(f"{positions[0]} {events[0].version}")


def say(line: str) -> None:
    sys.stdout.write(f"{line}\n")
    sys.stdout.flush()


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2], int(sys.argv[3]), int(sys.argv[4]))
