"""What can be imported from the package, and what importing it costs."""

from __future__ import annotations

import subprocess
import sys

import pytest

import llm_optimization
from llm_optimization import exceptions
from llm_optimization.capabilities import ProviderCapabilities
from llm_optimization.config import OptimizationConfig

_HEAVY = ("anthropic", "httpx", "httpx2", "langchain_core", "pydantic", "sqlalchemy")


def imported_by(code: str) -> set[str]:
    """Which of the heavy packages a fresh interpreter holds after the code."""
    program = f"import sys; {code}; print(*sys.modules.keys() & set({_HEAVY!r}))"
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 0, done.stderr
    return set(done.stdout.split())


def test_importing_the_package_imports_nothing_heavy() -> None:
    assert imported_by("import llm_optimization") == set()


def test_settings_capabilities_and_errors_need_neither_langchain_nor_a_providers_sdk() -> None:
    code = "from llm_optimization import InvalidOptimizationConfig, OptimizationConfig, ProviderCapabilities"
    used = "OptimizationConfig.from_dict({'cacheTTL': '1h'}); ProviderCapabilities.detect('anthropic')"
    assert imported_by(f"{code}; {used}") <= {"sqlalchemy"}  # the ledger's


@pytest.mark.parametrize("name", llm_optimization.__all__)
def test_every_name_is_there(name: str) -> None:
    found = getattr(llm_optimization, name)
    assert found.__name__ == name
    assert found.__module__.split(".")[0] in ("llm_optimization", "ledger")
    assert getattr(llm_optimization, name) is found


def test_the_names_are_listed_in_order() -> None:
    assert llm_optimization.__all__ == sorted(llm_optimization.__all__)
    assert set(llm_optimization.__all__) <= set(dir(llm_optimization))


def test_a_name_is_the_same_object_as_in_its_module() -> None:
    assert llm_optimization.OptimizationConfig is OptimizationConfig
    assert llm_optimization.ProviderCapabilities is ProviderCapabilities
    assert llm_optimization.BatchItemFailed is exceptions.BatchItemFailed


def test_every_error_made_here_is_public() -> None:
    made = {name for name in exceptions.__all__ if getattr(exceptions, name).__module__ == exceptions.__name__}
    assert made <= set(llm_optimization.__all__)


def test_a_name_that_is_not_there_is_named() -> None:
    with pytest.raises(AttributeError, match="module 'llm_optimization' has no attribute 'optimise'"):
        _ = llm_optimization.optimise  # type: ignore[attr-defined]
