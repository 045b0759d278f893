"""`python -m tests.support.dying_migration URL up|down`: migrations that end in SIGKILL.

For each number on standard input one child process begins the migration, and dies at that statement. Prints how each
ended: its wait status.
"""

from __future__ import annotations

import os
import signal
import sys

from ledger.backends import open_database
from ledger.migrate import upgrade
from tests.support.migrations import downgrade
from tests.support.statements import at_statement


def migrate(url: str, direction: str, statement: int) -> None:
    """Migrate, and die before so many statements have been sent (the first one is 1)."""
    with at_statement(statement, lambda: os.kill(os.getpid(), signal.SIGKILL)):
        (upgrade if direction == "up" else downgrade)(open_database(url))


def main(url: str, direction: str) -> None:
    for line in sys.stdin:
        process = os.fork()
        if not process:
            migrate(url, direction, int(line))
            os._exit(0)
        sys.stdout.write(f"{os.waitpid(process, 0)[1]}\n")
        sys.stdout.flush()


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2])
