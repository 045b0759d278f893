"""LangChain's standard integration suite on the bare ChatAnthropic and on a wrapped one, against the simulator.

Both call the same simulator with keys of their own; what the wrapped one was billed has to stand in its ledger.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator
from types import SimpleNamespace

import pytest
import pytest_asyncio

pytest.importorskip("langchain_tests", reason="langchain-tests needs langchain-core 1 or newer")

import httpx
from langchain_anthropic import ChatAnthropic
from langchain_tests.integration_tests import ChatModelIntegrationTests

from llm_ledger.simulator import RunningSimulator, running
from tests.support.standard_suites import IntegrationSetup, wrapping_class

# One loop for all of them: LangChain keeps one async HTTP client, whose connections belong to a loop.
pytestmark = [
    pytest.mark.asyncio(loop_scope="module"),
    pytest.mark.filterwarnings("ignore:.*is marked with '@pytest.mark.asyncio' but it is not an async function"),
]


@pytest.fixture(scope="module", autouse=True)
def simulator(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningSimulator]:
    with running() as simulator, pytest.MonkeyPatch.context() as patch:
        patch.setenv("ANTHROPIC_BASE_URL", simulator.base_url)
        patch.setenv("LLM_LEDGER_DATABASE_URL", f"sqlite:///{tmp_path_factory.mktemp('standard')}/ledger.db")
        # The suite fetches its pictures and documents; what is in them matters to nobody here.
        patch.setattr(httpx, "get", lambda url, **_: SimpleNamespace(content=url.encode()))
        yield simulator


@pytest_asyncio.fixture(loop_scope="module", scope="module", autouse=True)
async def _async_client_is_closed(simulator: RunningSimulator) -> AsyncIterator[None]:
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
