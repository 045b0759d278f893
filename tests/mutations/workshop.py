"""A copy of the tree in which one thing is wrong, and what the tests say to that."""

from __future__ import annotations

import shutil
import subprocess
import sys
import time
from pathlib import Path
from typing import Final, NamedTuple

from tests.mutations.planted import Planted

__all__ = ["ROOT", "Verdict", "Workshop", "places"]

ROOT: Final = Path(__file__).resolve().parents[2]

_COPIED: Final = (
    "ledger", "scheduler", "llm_ledger", "llm_optimization", "alembic", "migrations", "tests", "pyproject.toml",
)  # fmt: skip

_SECONDS: Final = 1200
"""After so long a run of tests counts as one that hangs: that is noticed, too."""


class Verdict(NamedTuple):
    """What became of a planted bug. `by` names the first test that failed, `seconds` is how long that took."""

    caught: bool
    by: str
    seconds: float


def places(bug: Planted, root: Path = ROOT) -> int:
    """How often the text that a bug replaces stands in its file: once, or it cannot be planted."""
    return (root / bug.file).read_text().count(bug.text)


class Workshop:
    """A folder with the tree in it, as it is now."""

    def __init__(self, folder: Path) -> None:
        self._root = folder / "tree"
        self._root.mkdir()
        for name in _COPIED:
            source = ROOT / name
            if source.is_dir():
                shutil.copytree(source, self._root / name, ignore=shutil.ignore_patterns("__pycache__"))
            else:
                shutil.copy(source, self._root / name)

    def run(self, tests: tuple[str, ...]) -> Verdict:
        """Run these tests, up to the first that fails."""
        command = [sys.executable, "-m", "pytest", "-x", "-q", "-n", "0", "-p", "no:cacheprovider", "--no-header"]
        began = time.monotonic()
        try:
            done = subprocess.run(
                [*command, "-rfE", *tests],
                cwd=self._root,
                capture_output=True,
                text=True,
                timeout=_SECONDS,
                check=False,
            )
        except subprocess.TimeoutExpired:
            return Verdict(True, "they do not end", time.monotonic() - began)
        took = time.monotonic() - began
        if done.returncode not in (0, 1):
            raise RuntimeError(f"pytest {' '.join(tests)} ended with {done.returncode}:\n{done.stdout[-2000:]}")
        failed = [line.split(" ")[1] for line in done.stdout.splitlines() if line.startswith(("FAILED ", "ERROR "))]
        return Verdict(done.returncode == 1, failed[0].partition("/")[2] if failed else "", took)

    def try_out(self, bug: Planted) -> Verdict:
        """Plant a bug, run its tests, take it out again."""
        file = self._root / bug.file
        sound = file.read_text()
        if places(bug, self._root) != 1:
            raise ValueError(f"{bug.name}: its text stands {places(bug, self._root)} times in {bug.file}")
        file.write_text(sound.replace(bug.text, bug.instead))
        try:
            return self.run(bug.tests)
        finally:
            file.write_text(sound)
