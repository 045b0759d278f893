"""`python -m tests.mutations [PATTERN]`: plant every bug (whose name holds the pattern) and see it caught.

Prints a row of Markdown for each. Exit code 1 if one was not caught, or if the tests fail without any.
"""

from __future__ import annotations

import sys
import tempfile
from pathlib import Path

from tests.mutations.planted import PLANTED
from tests.mutations.workshop import Workshop


def main(pattern: str = "") -> int:
    bugs = [bug for bug in PLANTED if pattern in bug.name]
    with tempfile.TemporaryDirectory() as folder:
        workshop = Workshop(Path(folder))
        tests = tuple(dict.fromkeys(test for bug in bugs for test in bug.tests))
        sound = workshop.run(tests)
        if sound.caught:
            sys.stderr.write(f"without any bug this fails: {sound.by}\n")
            return 1
        sys.stdout.write("| # | planted bug | where | caught by |\n| ---: | --- | --- | --- |\n")
        escaped = 0
        for number, bug in enumerate(bugs, start=1):
            verdict = workshop.try_out(bug)
            escaped += not verdict.caught
            by = f"`{verdict.by}`" if verdict.caught else "**nothing**"
            sys.stdout.write(f"| {number} | {bug.name} | `{bug.file}` | {by} |\n")
            sys.stdout.flush()
            sys.stderr.write(f"{number}/{len(bugs)} {bug.name}: {verdict.seconds:.0f} s\n")
    sys.stderr.write(f"{len(bugs) - escaped} of {len(bugs)} caught\n")
    return 1 if escaped or not bugs else 0


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
