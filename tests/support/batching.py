"""What tests of batches from within an application share: questions, a hurried environment, and a look at the log."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, TypeVar

import pytest

from ledger import Ledger
from ledger.events import EventData
from llm_ledger.simulator import RunningSimulator, SimulatorConfig, running
from llm_optimization.config import OptimizationConfig

__all__ = ["KEY", "MODEL", "NOW", "events_of", "hurry", "no_thread", "params", "slow_provider"]

Kind = TypeVar("Kind", bound=EventData)

KEY = "sk-of-the-test"
MODEL = "claude-haiku-4-5"

NOW = OptimizationConfig(
    optimization_enabled=True, batching_enabled=True, batch_timeout=0, model=MODEL, max_tokens=16
)
"""A configuration under which nothing that could be sent waits for company."""


def hurry(patch: pytest.MonkeyPatch, simulator: RunningSimulator) -> None:
    """Set the environment to that provider, and to a scheduler that asks often."""
    patch.setenv("ANTHROPIC_API_KEY", KEY)
    patch.setenv("ANTHROPIC_BASE_URL", simulator.base_url)
    patch.setenv("LLM_LEDGER_POLL_MIN_SECONDS", "0.02")
    patch.setenv("LLM_LEDGER_POLL_MAX_SECONDS", "0.2")
    patch.setenv("LLM_LEDGER_BATCH_TIMEOUT_SECONDS", "0")


def no_thread(_: object) -> None:
    """`Thread.start` where the system has none left."""
    raise RuntimeError("no thread")


@contextmanager
def slow_provider() -> Iterator[RunningSimulator]:
    """A provider whose batches end when it is told that a minute is over."""
    with running(SimulatorConfig(batch_seconds=60, time_scale=0)) as simulator:
        yield simulator


def params(question: str, **more: Any) -> dict[str, Any]:
    """Params of the Messages API."""
    return {"model": MODEL, "max_tokens": 16, "messages": [{"role": "user", "content": question}], **more}


def events_of(url: str, kind: type[Kind]) -> list[Kind]:
    """Every event of that kind in the log, in order."""
    with Ledger.open(url) as ledger:
        return [event.data for event in ledger.events() if isinstance(event.data, kind)]
