"""Processes of an end-to-end run: a fresh simulator, and commands whose time and memory are taken."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Final

import msgspec

from bench import measured

__all__ = ["POLL_SECONDS", "Provider", "Run", "provider", "run"]

POLL_SECONDS: Final = 0.5
"""How often either side asks whether a batch has ended."""

_OURS: Final = {
    "LLM_LEDGER_BATCH_TIMEOUT_SECONDS": "0",
    "LLM_LEDGER_POLL_MIN_SECONDS": str(POLL_SECONDS),
    "LLM_LEDGER_POLL_MAX_SECONDS": str(POLL_SECONDS),
    "ANTHROPIC_API_KEY": "bench-key",
    "NO_PROXY": "127.0.0.1",
    "no_proxy": "127.0.0.1",
}


class Run(msgspec.Struct, frozen=True):
    """What a command took: wall and CPU seconds, the bytes of its peak; and what it wrote to stdout."""

    seconds: float
    peak: int
    cpu: float
    output: bytes


class Provider:
    """A simulator that is up. `cpu` is known once it is down."""

    def __init__(self, base_url: str) -> None:
        self.base_url = base_url
        self.cpu = 0.0


@contextmanager
def provider() -> Iterator[Provider]:
    """A simulator of its own for the block, whose batches end as soon as it has worked through them."""
    command = [sys.executable, "-m", "llm_ledger", "simulate", "--port", "0", "--batch-seconds", "0"]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True)
    assert process.stdout is not None
    try:
        up = Provider(process.stdout.readline().strip().partition("=")[2])
        if not up.base_url:
            raise RuntimeError("the simulator did not come up")
        yield up
    finally:
        process.send_signal(signal.SIGTERM)
        _, status, usage = os.wait4(process.pid, 0)
        process.returncode = os.waitstatus_to_exitcode(status)
        process.stdout.close()
    up.cpu = usage.ru_utime + usage.ru_stime


def run(folder: Path, up: Provider, environment: Mapping[str, str], *command: str) -> Run:
    """Run `python -m …` to its end. Raises RuntimeError with its last words if it fails."""
    theirs = {name: value for name, value in os.environ.items() if not name.startswith(("LLM_LEDGER_", "ANTHROPIC_"))}
    report = folder / "took"
    done = subprocess.run(
        [sys.executable, "-S", measured.__file__, str(report), sys.executable, "-m", *command],
        env={**theirs, **_OURS, "ANTHROPIC_BASE_URL": up.base_url, **environment},
        capture_output=True,
        check=False,
    )
    if done.returncode != 0:
        raise RuntimeError(f"{' '.join(command[:2])} ended with {done.returncode}: {done.stderr.decode()[-2000:]}")
    seconds, peak, cpu, _ = report.read_text().split()
    return Run(float(seconds), int(peak), float(cpu), done.stdout)
