"""`python -m tests.support.loop_runner`: worker processes, one after the other, one for each line of standard input.

Each runs the loop until nothing is left to do; ledger and provider come from the environment, as for the program
itself. They are forks of one process, so that dying and being born again takes no second. Standard output tells
each one's process id when it begins and its wait status when it is gone.
"""

from __future__ import annotations

import os
import sys
import time
import traceback
from collections.abc import Mapping

import anthropic  # noqa: F401  (imported once, before the forks)

from ledger import Ledger
from ledger.queries import outstanding
from scheduler import Context, Loop, SchedulerSettings, Worker, providers


def work(environ: Mapping[str, str]) -> None:
    """Run the loop until nothing is left to do."""
    chosen = SchedulerSettings.from_env(environ)
    settings = providers.settings("anthropic", environ, timeout_seconds=chosen.http_timeout_seconds)
    context = Context(ledger=Ledger.open(), provider=providers.provider("anthropic", settings), policy=chosen.policy)
    with context.ledger, Loop(Worker(context), tick_seconds=0.02):
        while not outstanding(context.ledger).idle:
            time.sleep(0.02)


def main() -> None:
    for _ in sys.stdin:
        process = os.fork()
        if not process:
            try:
                work(os.environ)
            except BaseException:
                traceback.print_exc()
                os._exit(1)
            os._exit(0)
        sys.stdout.write(f"{process}\n")
        sys.stdout.flush()
        sys.stdout.write(f"{os.waitpid(process, 0)[1]}\n")
        sys.stdout.flush()


if __name__ == "__main__":
    main()
