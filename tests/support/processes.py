"""Further processes on the same ledger."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

__all__ = ["start_writer"]

ROOT = Path(__file__).resolve().parents[2]


def start_writer(url: str, name: str, *, appends: int, size: int) -> subprocess.Popen[str]:
    """`tests.support.writer`, in a process of its own."""
    arguments = [url, name, str(appends), str(size)]
    return subprocess.Popen(
        [sys.executable, "-m", "tests.support.writer", *arguments], cwd=ROOT, stdout=subprocess.PIPE, text=True
    )
