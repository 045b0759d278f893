"""Calls of a wrapped model cost what the provider's own bill says, to the last digit, however they were made."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from decimal import Decimal
from itertools import count
from typing import Any

import pytest
from langchain_anthropic import ChatAnthropic
from langchain_core.messages import HumanMessage, SystemMessage

from ledger import Ledger
from ledger.savings import Period
from ledger.summary import savings
from llm_ledger.simulator import RunningSimulator
from llm_optimization.config import OptimizationConfig
from llm_optimization.recording import recorder_for
from llm_optimization.wrapper import OptimizedLLMWrapper

TIMEOUTS = count(30.0)
LONG = "You are a careful tutor who answers in one short sentence. " * 400


def asked(question: str, *ttls: str) -> list[Any]:
    """A prompt whose instructions have a breakpoint of each lifetime, set by hand."""
    if not ttls:
        return [SystemMessage(LONG), HumanMessage(question)]
    blocks = [
        {"type": "text", "text": f"{ttl} {LONG}", "cache_control": {"type": "ephemeral", "ttl": ttl}} for ttl in ttls
    ]
    return [SystemMessage(blocks), HumanMessage(question)]


def invoking(model: Any, prompts: list[Any]) -> None:
    for prompt in prompts:
        model.invoke(prompt)


def streaming(model: Any, prompts: list[Any]) -> None:
    for prompt in prompts:
        list(model.stream(prompt))


def on_a_loop(model: Any, prompts: list[Any]) -> None:
    async def call() -> None:
        for prompt in prompts:
            await model.ainvoke(prompt)

    asyncio.run(call())


def streaming_on_a_loop(model: Any, prompts: list[Any]) -> None:
    async def read() -> None:
        for prompt in prompts:
            async for _ in model.astream(prompt):
                pass

    asyncio.run(read())


@pytest.mark.parametrize("recording", ["behind", "sync"])
@pytest.mark.parametrize("ask", [invoking, streaming, on_a_loop, streaming_on_a_loop])
def test_costs_equal_the_bill(
    simulator: RunningSimulator, ledger_url: str, ask: Callable[[Any, list[Any]], None], recording: Any
) -> None:
    key = f"{ask.__name__}-{recording}"
    config = OptimizationConfig(optimization_enabled=True, caching_enabled=True, recording=recording)
    # Models with the same timeout share connections, which belong to one event loop.
    base = ChatAnthropic(
        model="claude-sonnet-5-5", api_key=key, base_url=simulator.base_url, max_tokens=50, timeout=next(TIMEOUTS)
    )
    model = OptimizedLLMWrapper(base, "anthropic", config)
    ask(model, [asked("One?"), asked("Two?"), asked("Three?", "1h", "5m"), asked("Four?", "1h"), "Hello?"])
    if recording == "behind":
        assert recorder_for(config).flush(10)
    with Ledger.open(ledger_url) as ledger:
        report = savings(ledger, Period())
    bill = simulator.bill()["accounts"][simulator.account(key)]
    assert Decimal(report["cost"]["actual"]) == Decimal(bill["total"]) > 0
    assert min(report["tokens"][name] for name in ("cache_read", "cache_write_5m", "cache_write_1h")) > 0
    assert report["requests"]["succeeded"] == 5
