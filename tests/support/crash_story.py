"""The story that processes are killed in: few requests, and whatever can happen to them on their way.

The first batch is refused as too large and halved. The answer to the creation of one half is lost, so that it has to
be found again; the other half is made twice by the provider, and somebody tries to cancel it. Of the second batch one
item is refused for now and one expires, and both are sent again; one fails in every batch, and is called at last.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from hashlib import sha256

import msgspec

from ledger import Ledger
from ledger.projections import BatchRow
from ledger.queries import active_batches
from llm_ledger.simulator import RunningSimulator, SimulatorConfig
from scheduler import Policy

__all__ = [
    "CALLED",
    "KEY",
    "LATER",
    "LINES",
    "SIMULATOR",
    "TRACE",
    "environ_of",
    "hasty",
    "order_faults",
    "to_cancel",
]

TRACE = "LLM_LEDGER_TEST_TRACE"
"""Names the file for the points that a process reaches."""

LATER = "LLM_LEDGER_TEST_LATER"
"""Says by how many seconds the clock of a process is ahead: so much time has passed since the death before it."""

KEY = "sk-of-the-test"

SIMULATOR = SimulatorConfig(seed=4, time_scale=50.0, batch_seconds=0.0)
"""A fast clock: what the scheduler measures in whole seconds of the provider's passes in no time."""

_WISHES = (None, None, None, "overloaded_once", "expired_once", "timeout_in_batches")
_HALF = 2

_PARAMS = [
    {
        "model": "claude-haiku-4-5",
        "max_tokens": 16,
        "messages": [{"role": "user", "content": f"What is {number} times 7?"}],
        **({"metadata": {"user_id": f"simulate:{wish}"}} if wish else {}),
    }
    for number, wish in enumerate(_WISHES)
]

LINES = [json.dumps({"custom_id": f"r{number}", "params": params}).encode() for number, params in enumerate(_PARAMS)]

CALLED = sha256(json.dumps(_PARAMS[-1]).encode()).hexdigest()
"""The SHA-256 of the params of the request that is called at last."""


def order_faults(simulator: RunningSimulator) -> None:
    """What is to happen to the first creations of a batch."""
    simulator.fault(endpoint="batches.create", kind="status", status=413)
    simulator.fault(endpoint="batches.create", kind="drop_after")
    simulator.fault(endpoint="batches.create", kind="twice")


def to_cancel(ledger: Ledger) -> BatchRow | None:
    """The batch that somebody wants to cancel, once the provider has it."""
    running = (batch for batch in active_batches(ledger) if batch.status == "in_progress")
    return next((batch for batch in running if batch.request_count == _HALF), None)


def hasty(policy: Policy) -> Policy:
    """The policy, but for what no variable says."""
    return msgspec.structs.replace(policy, max_attempts=2)


def environ_of(url: str, base_url: str) -> Mapping[str, str]:
    """Settings with which the story takes a fraction of a second."""
    return {
        "LLM_LEDGER_DATABASE_URL": url,
        "ANTHROPIC_BASE_URL": base_url,
        "ANTHROPIC_API_KEY": KEY,
        "LLM_LEDGER_BATCH_MAX_SIZE": "3",
        "LLM_LEDGER_BATCH_TIMEOUT_SECONDS": "0",
        "LLM_LEDGER_FALLBACK_TO_STANDARD": "true",
        "LLM_LEDGER_POLL_MIN_SECONDS": "0.002",
        "LLM_LEDGER_POLL_MAX_SECONDS": "0.01",
        "LLM_LEDGER_SUBMIT_QUIET_SECONDS": "0.05",
    }
