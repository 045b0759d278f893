"""Who follows the log while processes write lists to it misses nothing, and sees everything in order.

`LLM_LEDGER_TEST_EVENTS` asks for more events than fit into every run.
"""

from __future__ import annotations

import os
import subprocess
import sys
from collections import Counter
from pathlib import Path

from ledger import Ledger
from ledger.verify import verify
from tests.support.list_writer import CONTESTED

ROOT = Path(__file__).resolve().parents[2]
EVENTS = int(os.environ.get("LLM_LEDGER_TEST_EVENTS", "10000"))
WRITERS = ("a", "b", "c", "d")


class Reader:
    """Reads on from where it stands, and counts by stream what it sees."""

    def __init__(self, ledger: Ledger) -> None:
        self._ledger = ledger
        self.position = 0
        self.versions: Counter[str] = Counter()
        self.positions: Counter[str] = Counter()

    def read_on(self) -> bool:
        """Read to the present end. True if there was something."""
        before = self.position
        for event in self._ledger.events(after=self.position):
            self.position += 1
            self.versions[event.stream_id] += 1
            self.positions[event.stream_id] += event.position
            assert event.position == self.position
            assert event.version == self.versions[event.stream_id]
        return self.position > before


def start_writer(url: str, name: str) -> subprocess.Popen[str]:
    command = [sys.executable, "-m", "tests.support.list_writer", url, name, str(EVENTS // len(WRITERS))]
    return subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, text=True)


def test_a_reader_beside_four_writers_misses_nothing(shared_url: str) -> None:
    with Ledger.open(shared_url) as ledger:
        reader, looks, ended = Reader(ledger), 0, False
        reader.read_on()
        processes = {name: start_writer(shared_url, name) for name in WRITERS}
        while not ended:
            ended = all(process.poll() is not None for process in processes.values())
            looks += reader.read_on()
        assert looks > 1

        for name, process in processes.items():
            stored, positions, refused = map(int, process.communicate()[0].split())
            assert reader.versions[f"config/{name}"] == stored == EVENTS // len(WRITERS)
            assert reader.positions[f"config/{name}"] == positions
            assert refused
        assert set(reader.versions) == {"prices/anthropic", CONTESTED, *(f"config/{name}" for name in WRITERS)}
        assert ledger.head().position == reader.position
        assert verify(ledger.database).problems == ()
