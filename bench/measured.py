"""`python -S measured.py REPORT COMMAND…`: run a command, and write down what it took.

A process inherits its parent's peak memory until it replaces its program, so the command has to be the child of
something small. This is that: it imports next to nothing. REPORT gets `seconds peak cpu code` (bytes, seconds).
"""

from __future__ import annotations

import os
import sys
import time

__all__ = ["main"]


def main(report: str, *command: str) -> int:
    """Run it and wait; its exit code is ours."""
    began = time.perf_counter()
    child = os.posix_spawnp(command[0], command, os.environ)
    _, status, usage = os.wait4(child, 0)
    seconds = time.perf_counter() - began
    code = os.waitstatus_to_exitcode(status)
    unit = 1 if sys.platform == "darwin" else 1024
    with open(report, "w") as file:  # noqa: PTH123 - pathlib would triple what is imported
        file.write(f"{seconds} {usage.ru_maxrss * unit} {usage.ru_utime + usage.ru_stime} {code}")
    return code


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
