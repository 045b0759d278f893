"""Add golden files: `python -m tests.golden.make [NAME]`. No file that exists is ever changed.

Without a log of that name (by default the schema's revision) the story is told and frozen. For every log, what
comes of it today is written down under the next number where it is not what the last number says.
"""

from __future__ import annotations

import sys
from pathlib import Path

from ledger import Ledger, schema
from ledger.rebuild import rebuild
from tests.golden.frozen import (
    FOLDER,
    event_lines,
    insert,
    lines_of,
    logs,
    newest,
    projection_lines,
    savings_text,
)
from tests.golden.story import tell
from tests.support.ledgers import bare_ledger


def main(name: str) -> list[Path]:
    """Write what is missing. Returns the files that are new."""
    made = [] if (FOLDER / name).exists() else [_freeze(FOLDER / name)]
    for log in logs():
        with bare_ledger() as ledger:
            insert(ledger.database, lines_of(log))
            rebuild(ledger.database)
            made += _expect(log, ledger)
    return made


def _freeze(log: Path) -> Path:
    log.mkdir()
    with bare_ledger() as ledger:
        tell(ledger)
        return _write(log / "events.jsonl", event_lines(ledger))


def _expect(log: Path, ledger: Ledger) -> list[Path]:
    made = []
    today = {"projections": (projection_lines(ledger), "jsonl"), "savings": (savings_text(ledger), "json")}
    for kind, (content, suffix) in today.items():
        last = newest(log, kind)
        if last is None or last.read_bytes() != content:
            number = int(last.name.split(".")[1]) + 1 if last is not None else 1
            made.append(_write(log / f"{kind}.{number}.{suffix}", content))
    return made


def _write(file: Path, content: bytes) -> Path:
    with file.open("xb") as new:
        new.write(content)
    return file


if __name__ == "__main__":
    for file in main(*sys.argv[1:] or [schema.REVISIONS[-1]]):
        sys.stdout.write(f"{file.relative_to(FOLDER)}\n")
