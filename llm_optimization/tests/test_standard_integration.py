"""LangChain's standard integration suite on the bare ChatAnthropic and on a wrapped one, against the simulator.

Both call the same simulator with keys of their own; what the wrapped one was billed has to stand in its ledger.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator
from decimal import Decimal
from types import SimpleNamespace

import pytest
import pytest_asyncio

pytest.importorskip("langchain_tests", reason="langchain-tests needs langchain-core 1 or newer")

import httpx
from langchain_anthropic import ChatAnthropic
from langchain_tests.integration_tests import ChatModelIntegrationTests

from ledger import Ledger, shared_writer
from ledger.savings import Period
from ledger.summary import savings
from llm_ledger.simulator import RunningSimulator
from llm_optimization import OptimizationConfig
from llm_optimization.recording import recorder_for
from tests.support.standard_suites import IntegrationSetup, wrapping_class

# One loop for all of them: LangChain keeps one async HTTP client, whose connections belong to a loop.
pytestmark = [
    pytest.mark.asyncio(loop_scope="module"),
    pytest.mark.filterwarnings("ignore:.*is marked with '@pytest.mark.asyncio' but it is not an async function"),
]


@pytest.fixture(scope="module", autouse=True)
def _billed(simulator: RunningSimulator, _elsewhere: None) -> Iterator[None]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("ANTHROPIC_BASE_URL", simulator.base_url)
        # The suite fetches its pictures and documents; what is in them matters to nobody here.
        patch.setattr(httpx, "get", lambda url, **_: SimpleNamespace(content=url.encode()))
        yield
    assert recorder_for(OptimizationConfig()).flush(10)
    shared_writer().close()
    with Ledger.open() as ledger:
        recorded = savings(ledger, Period())
    account = simulator.bill()["accounts"].get(simulator.account(TestWrapped.key), {"total": "0", "requests": 0})
    assert recorded["requests"]["total"] == account["requests"]
    assert Decimal(recorded["cost"]["actual"]) == Decimal(account["total"])


@pytest_asyncio.fixture(loop_scope="module", scope="module", autouse=True)
async def _async_client_is_closed(_billed: None) -> AsyncIterator[None]:
    yield
    await ChatAnthropic(model="claude-haiku-4-5", api_key="key")._async_client.close()


@pytest.fixture
def vcr() -> SimpleNamespace:
    """No cassettes: the suite's test of streaming plays against the simulator as well."""
    return SimpleNamespace(responses=[])


class TestBare(IntegrationSetup, ChatModelIntegrationTests):
    key = "key-bare"

    @property
    def chat_model_class(self) -> type[ChatAnthropic]:
        return ChatAnthropic


class TestWrapped(IntegrationSetup, ChatModelIntegrationTests):
    key = "key-wrapped"

    @property
    def chat_model_class(self) -> type[ChatAnthropic]:
        return wrapping_class(ChatAnthropic, "anthropic")
