"""LangChain's standard unit suite on the bare ChatAnthropic and on a wrapped one."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

pytest.importorskip("langchain_tests", reason="langchain-tests needs langchain-core 1 or newer")

from langchain_anthropic import ChatAnthropic
from langchain_core.load import dumpd
from langchain_tests.unit_tests import ChatModelUnitTests

from tests.support.standard_suites import UnitSetup, wrapping_class

# The suite asks for a method that ChatAnthropic replaces by another, with a warning.
pytestmark = pytest.mark.filterwarnings("ignore:Unrecognized structured output method 'json_mode'")


@pytest.fixture(autouse=True)
def _key(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ANTHROPIC_API_KEY", "test")


@pytest.fixture
def snapshot(request: pytest.FixtureRequest) -> Callable[..., dict[str, Any]]:
    """What the bare model of the same settings serialises to: nobody sees that a model is wrapped."""
    suite = request.instance
    return lambda name: dumpd(ChatAnthropic(**suite.standard_chat_model_params, **suite.chat_model_params))


class TestBare(UnitSetup, ChatModelUnitTests):
    @property
    def chat_model_class(self) -> type[ChatAnthropic]:
        return ChatAnthropic


class TestWrapped(UnitSetup, ChatModelUnitTests):
    @property
    def chat_model_class(self) -> type[ChatAnthropic]:
        return wrapping_class(ChatAnthropic, "anthropic")
