"""Calls recorded from the plain client cost what the provider's own bill says, to the last digit."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any

import anthropic
import pytest

from ledger import Ledger
from ledger.savings import Period
from ledger.summary import savings
from llm_ledger.simulator import RunningSimulator
from llm_optimization.config import OptimizationConfig
from llm_optimization.recording import Answered, CallRecorder, FinishedCall, recorder_for

MODEL = "claude-sonnet-5-5"
LONG = "You are a careful tutor who answers in one short sentence. " * 400


def asked(question: str, *ttls: str) -> dict[str, Any]:
    """Params whose system prompt has a breakpoint of each lifetime."""
    system = [
        {"type": "text", "text": f"{ttl} {LONG}", "cache_control": {"type": "ephemeral", "ttl": ttl}} for ttl in ttls
    ]
    messages = [{"role": "user", "content": question}]
    return {"model": MODEL, "max_tokens": 50, "messages": messages, **({"system": system} if system else {})}


def plainly(url: str, params: dict[str, Any]) -> anthropic.types.Message:
    with anthropic.Anthropic(api_key="key", base_url=url, max_retries=0) as client:
        return client.messages.create(**params)


def streaming(url: str, params: dict[str, Any]) -> anthropic.types.Message:
    with (
        anthropic.Anthropic(api_key="key", base_url=url, max_retries=0) as client,
        client.messages.stream(**params) as stream,
    ):
        return stream.get_final_message()


def on_a_loop(url: str, params: dict[str, Any]) -> anthropic.types.Message:
    async def call() -> anthropic.types.Message:
        async with anthropic.AsyncAnthropic(api_key="key", base_url=url, max_retries=0) as client:
            return await client.messages.create(**params)

    return asyncio.run(call())


@pytest.fixture
def recorder(ledger_url: str) -> CallRecorder:
    return recorder_for(OptimizationConfig(database_url=ledger_url))


@pytest.mark.parametrize("ask", [plainly, streaming, on_a_loop])
def test_costs_equal_the_bill(
    simulator: RunningSimulator,
    recorder: CallRecorder,
    ledger_url: str,
    ask: Callable[[str, dict[str, Any]], anthropic.types.Message],
) -> None:
    before = Decimal(simulator.bill()["total"])
    for params in (asked("One?"), asked("Two?", "1h", "5m"), asked("Three?", "1h", "5m"), asked("Four?", "5m")):
        message = ask(simulator.base_url, params)
        usage = message.usage.to_dict(mode="json")
        recorder.record(
            FinishedCall(
                provider="anthropic",
                model=MODEL,
                params=params,
                outcome=Answered(message.model, message.id, message.stop_reason, usage),
                finished_at=datetime.now(UTC),
            )
        )
    assert recorder.flush(10)
    with Ledger.open(ledger_url) as ledger:
        report = savings(ledger, Period())
    assert Decimal(report["cost"]["actual"]) == Decimal(simulator.bill()["total"]) - before > 0
    assert report["tokens"]["cache_read"] > 0
    assert report["requests"]["succeeded"] == 4
