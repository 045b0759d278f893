"""The whole way of a batch, against the simulator and, for who asks for it and has a key, against Anthropic itself.

    LLM_LEDGER_TEST_REAL_API=1 ANTHROPIC_API_KEY=… pytest llm_optimization/tests/test_real_api.py

The real run costs a hundredth of a cent and takes as long as the provider takes: minutes, an hour at most as a rule.
"""

from __future__ import annotations

import os
from decimal import Decimal

import pytest

from ledger import Ledger
from ledger.savings import Period
from ledger.summary import savings
from llm_ledger.simulator import RunningSimulator
from llm_optimization.batch_client import AnthropicBatchClient
from llm_optimization.capabilities import ProviderCapabilities
from tests.support.batching import KEY, NOW, params

REAL_KEY = os.environ.get("ANTHROPIC_API_KEY") if os.environ.get("LLM_LEDGER_TEST_REAL_API") == "1" else None

real = pytest.param(
    "real",
    marks=pytest.mark.skipif(
        REAL_KEY is None,
        reason="asks Anthropic itself, for money: set LLM_LEDGER_TEST_REAL_API=1 and ANTHROPIC_API_KEY",
    ),
)


@pytest.fixture(params=["simulated", real])
def provider(request: pytest.FixtureRequest, simulator: RunningSimulator, monkeypatch: pytest.MonkeyPatch) -> str:
    """The environment of one of the two; the simulated one is asked often."""
    name: str = request.param
    if name == "real":
        monkeypatch.setenv("ANTHROPIC_API_KEY", REAL_KEY or "")
    else:
        monkeypatch.setenv("ANTHROPIC_API_KEY", KEY)
        monkeypatch.setenv("ANTHROPIC_BASE_URL", simulator.base_url)
        monkeypatch.setenv("LLM_LEDGER_POLL_MIN_SECONDS", "0.05")
    return name


async def test_real_batch_submission(provider: str, ledger_url: str, simulator: RunningSimulator) -> None:
    """Submission, polling, results, and half of what standard calls would have cost."""
    client = AnthropicBatchClient(ProviderCapabilities.detect("anthropic"), NOW)
    items = [params(f"What is {number} + {number}? Answer with the number alone.") for number in (2, 3)]
    key = await client.submit_batch(items)
    assert await client.poll_until_complete(key) == {"succeeded": 2}
    answers = await client.get_results(key)
    assert [answer["usage"]["service_tier"] for answer in answers] == ["batch"] * 2
    if provider == "real":
        assert [answer["content"][0]["text"].strip(" .") for answer in answers] == ["4", "6"]

    with Ledger.open(ledger_url) as ledger:
        cost = savings(ledger, Period())["cost"]
    assert Decimal(cost["actual"]) > 0
    assert Decimal(cost["standard_no_cache"]) == 2 * Decimal(cost["actual"])
    if provider == "simulated":
        assert Decimal(cost["actual"]) == Decimal(simulator.bill()["total"])
