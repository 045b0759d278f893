"""What the tests of this package share."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from ledger import shared_writer
from llm_ledger.simulator import RunningSimulator, SimulatorConfig, running
from tests.support import postgres
from tests.support.databases import shared_url


def pytest_configure(config: pytest.Config) -> None:
    config.addinivalue_line("markers", "benchmark: set by LangChain's standard suites; `benchmark` runs once here")


@pytest.fixture
def benchmark() -> Callable[[Callable[[], None]], None]:
    """Runs once what LangChain's standard suites want measured."""
    return lambda measured: measured()


@pytest.fixture(scope="module")
def simulator() -> Iterator[RunningSimulator]:
    """The provider over HTTP, one for a file's tests. Batches end at once; any key is an account of its own."""
    with running(SimulatorConfig(batch_seconds=0)) as simulator:
        yield simulator


@pytest.fixture(scope="module", autouse=True)
def _elsewhere(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """No test finds the ledger or the credential of whoever runs it."""
    folder = tmp_path_factory.mktemp("default")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("LLM_LEDGER_DATABASE_URL", f"sqlite:///{folder / 'ledger.db'}")
        patch.setenv("XDG_STATE_HOME", str(folder))
        for name in ("ANTHROPIC_API_KEY", "ANTHROPIC_AUTH_TOKEN", "ANTHROPIC_BASE_URL"):
            patch.delenv(name, raising=False)
        yield


@pytest.fixture
def ledger_url(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    """An empty ledger's URL, in the environment, too. Its writer in this process is closed after the test."""
    with postgres.dropped_afterwards():
        url = shared_url(tmp_path)
        monkeypatch.setenv("LLM_LEDGER_DATABASE_URL", url)
        yield url
        shared_writer(url).close()
