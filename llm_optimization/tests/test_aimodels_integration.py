"""The factory and `optimize`: what is wrapped in what, and that nothing of ours can take a model away.

LangChain's classes are stand-ins here that answer by themselves; test_provider_calls has the real ones.
"""

from __future__ import annotations

import asyncio
import logging
import subprocess
import sys
from collections.abc import Iterator
from typing import Any

import pytest

from ledger import Ledger, queries
from llm_optimization.aimodels import get_generator_model, get_generator_model_async, optimize
from llm_optimization.config import OptimizationConfig
from llm_optimization.exceptions import UnknownModel, UnsupportedProvider
from llm_optimization.recorded_model import RecordedChatModel
from llm_optimization.recording import recorder_for
from llm_optimization.wrapper import OptimizedLLMWrapper
from tests.support.fake_integrations import FakeChat, given_to, installed

CONFIGURATION = {
    "model": "m-1, m-2",
    "apiKey": "sk-very-secret",
    "endpoint": "https://models.test",
    "deploymentName": "chat",
    "region": "eu-central-1",
    "awsAccessKeyId": "AKIA1",
    "awsAccessSecretKey": "secret",
    "project": "acme",
}
CLASSES = {
    "anthropic": "ChatAnthropic",
    "azureOpenAI": "AzureChatOpenAI",
    "bedrock": "ChatBedrockConverse",
    "cohere": "ChatCohere",
    "fireworks": "ChatFireworks",
    "gemini": "ChatGoogleGenerativeAI",
    "groq": "ChatGroq",
    "mistral": "ChatMistralAI",
    "ollama": "ChatOllama",
    "openAI": "ChatOpenAI",
    "openAICompatible": "ChatOpenAI",
    "together": "ChatTogether",
    "vertexAI": "ChatGoogleGenerativeAI",
    "xai": "ChatXAI",
}
SUPPORTED = {"anthropic", "azureOpenAI", "bedrock", "gemini", "openAI", "vertexAI"}
ON = {"optimizationEnabled": True}


@pytest.fixture(autouse=True, scope="module")
def _integrations() -> Iterator[None]:
    with installed():
        yield


@pytest.fixture(autouse=True)
def _logs(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO, logger="llm_optimization")


def entry(**settings: Any) -> dict[str, Any]:
    return {"provider": "any", "configuration": CONFIGURATION | settings, "modelKey": "k", "isDefault": False}


def test_get_generator_model_optimization_disabled(caplog: pytest.LogCaptureFixture, ledger_url: str) -> None:
    for said in ({}, {"optimizationEnabled": False}, {"optimizationEnabled": "false"}, {"optimizationEnabled": None}):
        model = get_generator_model("anthropic", entry(**said, cachingEnabled=True))
        assert not isinstance(model, RecordedChatModel)
        assert type(model).__name__ == "ChatAnthropic"
        assert model.invoke("Hi").content == "Hello there."
    assert caplog.messages == ["anthropic: optimisation is off"] * 4
    recorder_for(OptimizationConfig(database_url=ledger_url)).flush()
    with Ledger.open(ledger_url) as ledger:
        assert list(queries.requests(ledger)) == []


@pytest.mark.parametrize("switch", [True, "true", "True"])
def test_get_generator_model_optimization_enabled(
    switch: object, caplog: pytest.LogCaptureFixture, ledger_url: str
) -> None:
    bare = get_generator_model("anthropic", entry())
    model = get_generator_model("anthropic", entry(optimizationEnabled=switch, cachingEnabled=True))
    assert isinstance(model, OptimizedLLMWrapper)
    assert isinstance(model, type(bare))
    assert type(model).__name__ == "ChatAnthropic"
    assert model.invoke("Hi").content == "Hello there."
    assert caplog.messages[-1] == "anthropic: optimisation is on: caching, recording"
    recorder_for(model.config).flush()
    with Ledger.open(ledger_url) as ledger:
        (row,) = queries.requests(ledger)
    assert (row.provider, row.status) == ("anthropic", "succeeded")


@pytest.mark.parametrize("provider", CLASSES)
def test_all_providers_backward_compatible(provider: str) -> None:
    bare = get_generator_model(provider, entry())
    assert type(bare).__name__ == CLASSES[provider]
    assert not isinstance(bare, RecordedChatModel)
    model = get_generator_model(provider, entry(**ON))
    assert isinstance(model, type(bare))
    assert type(model).__name__ == CLASSES[provider]
    assert given_to(model) == given_to(bare)
    assert model.invoke("Hi") == bare.invoke("Hi")
    other = get_generator_model(provider, entry(), "m-2")
    assert (given_to(bare)["model"], given_to(other)["model"]) == ("m-1", "m-2")


def test_wrapper_applied_for_supported_providers() -> None:
    models = {provider: get_generator_model(provider, entry(**ON)) for provider in CLASSES}
    assert {provider for provider, model in models.items() if isinstance(model, OptimizedLLMWrapper)} == SUPPORTED
    assert all(isinstance(model, RecordedChatModel) for model in models.values())


def test_configuration_parsing(ledger_url: str) -> None:
    settings = {
        "optimizationEnabled": "true",
        "batchingEnabled": True,
        "batchMaxSize": "500",
        "batchTimeout": 60,
        "cachingEnabled": "TRUE",
        "cacheTTL": "1h",
        "cacheBreakpoints": "manual",
        "fallbackToStandard": "false",
        "databaseUrl": ledger_url,
        "tags": {"team": "search"},
    }
    model: Any = get_generator_model("anthropic", entry(**settings), "m-2")
    assert model.config == OptimizationConfig(
        optimization_enabled=True,
        batching_enabled=True,
        batch_max_size=500,
        batch_timeout=60,
        caching_enabled=True,
        cache_ttl=3600,
        cache_breakpoints="manual",
        fallback_to_standard=False,
        database_url=ledger_url,
        tags={"team": "search"},
        model="m-2",
    )
    assert model.capabilities.provider == model.provider == "anthropic"


# --- the factory ---------------------------------------------------------------------------------------------------


def test_an_unlisted_model_and_an_unknown_provider() -> None:
    with pytest.raises(UnknownModel, match="Model name m-3 not found in m-1, m-2"):
        get_generator_model("groq", entry(), "m-3")
    with pytest.raises(UnsupportedProvider, match="Unsupported provider type: acme"):
        get_generator_model("acme", entry())


def test_arguments_of_the_class_can_be_given() -> None:
    assert given_to(get_generator_model("groq", entry(), temperature=0.2))["temperature"] == 0.2


class Reasoning(FakeChat):
    reasoning_effort: str | None = None


def test_the_reasoning_effort_counts_for_reasoning_entries() -> None:
    with installed(Reasoning):
        plain: Any = get_generator_model("openAI", entry(), None, "high")
        reasoning: Any = get_generator_model("openAI", entry() | {"isReasoning": True}, None, "high")
        unasked: Any = get_generator_model("openAI", entry() | {"isReasoning": True})
    assert (plain.reasoning_effort, reasoning.reasoning_effort, unasked.reasoning_effort) == (None, "high", None)


async def test_the_asynchronous_factory_makes_the_same() -> None:
    config = entry(**ON) | {"isReasoning": True}
    with installed(Reasoning):
        model: Any = await get_generator_model_async("openAI", config, "m-2", "high", temperature=0.2)
    assert isinstance(model, OptimizedLLMWrapper)
    assert model.reasoning_effort == "high"
    assert given_to(model)["model"] == "m-2"
    assert given_to(model)["temperature"] == 0.2


async def test_the_asynchronous_factory_holds_no_event_loop_up(monkeypatch: pytest.MonkeyPatch) -> None:
    turns: list[str] = []
    held = asyncio.Event()
    loop = asyncio.get_running_loop()

    class Slow(FakeChat):
        def __init__(self, **fields: Any) -> None:
            asyncio.run_coroutine_threadsafe(held.wait(), loop).result(10)
            turns.append("made")
            super().__init__(**fields)

    async def meanwhile() -> None:
        turns.append("meanwhile")
        held.set()

    with installed(Slow):
        await asyncio.gather(get_generator_model_async("groq", entry()), meanwhile())
    assert turns == ["meanwhile", "made"]


# --- nothing of ours takes a model away ----------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["wrapper.OptimizedLLMWrapper", "recorded_model.RecordedChatModel"])
def test_a_wrapper_that_fails_gives_the_base_model(
    name: str, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(*_: Any) -> None:
        raise RuntimeError("out of wrapping paper")

    monkeypatch.setattr(f"llm_optimization.{name}", broken)
    provider = "anthropic" if "wrapper" in name else "groq"
    model = get_generator_model(provider, entry(**ON))
    assert not isinstance(model, RecordedChatModel)
    assert model.invoke("Hi").content == "Hello there."
    (record,) = caplog.records
    assert record.levelname == "WARNING"
    assert record.getMessage() == (
        f"{provider}: optimisation is off, the model stays as it is: RuntimeError: out of wrapping paper"
    )


def test_unusable_settings_give_the_base_model(caplog: pytest.LogCaptureFixture) -> None:
    model = get_generator_model("anthropic", entry(**ON, cacheTTL=7, batchMaxSize=0))
    assert not isinstance(model, RecordedChatModel)
    assert "cacheTTL: 7 is not 300 (5m) or 3600 (1h) seconds" in caplog.text
    assert "batchMaxSize" in caplog.text


@pytest.mark.parametrize("thing", [None, "gpt-5", object()])
def test_what_is_no_model_comes_back_as_it_was(thing: Any, caplog: pytest.LogCaptureFixture) -> None:
    assert optimize(thing, caching_enabled=True) is thing
    assert optimize(thing, "anthropic", ON) is thing
    assert [record.levelname for record in caplog.records] == ["WARNING", "WARNING"]


def test_no_secret_is_logged(caplog: pytest.LogCaptureFixture) -> None:
    for provider in CLASSES:
        get_generator_model(provider, entry(**ON))
        get_generator_model(provider, entry())
        get_generator_model(provider, entry(**ON, cacheTTL=7))
    assert "secret" not in caplog.text
    assert len(caplog.records) == 3 * len(CLASSES)


# --- optimize ------------------------------------------------------------------------------------------------------


class Groq(FakeChat):
    @property
    def _llm_type(self) -> str:
        return "groq-chat"


class Claude(FakeChat):
    @property
    def _llm_type(self) -> str:
        return "anthropic-chat"


def test_one_line_is_enough() -> None:
    model: Any = optimize(Claude())
    assert isinstance(model, OptimizedLLMWrapper)
    assert model.config == OptimizationConfig(optimization_enabled=True)
    other: Any = optimize(Groq(), caching_enabled=True)
    assert isinstance(other, RecordedChatModel)
    assert not isinstance(other, OptimizedLLMWrapper)
    assert other.provider == "groq"


def test_the_named_provider_counts() -> None:
    model: Any = optimize(Groq(), "anthropic")
    assert isinstance(model, OptimizedLLMWrapper)


@pytest.mark.parametrize(
    ("configuration", "overrides", "caches"),
    [
        ({"cachingEnabled": True}, {}, None),  # as the host's own factory has it
        ({}, {}, None),
        ({"optimizationEnabled": True, "cachingEnabled": True}, {}, True),
        ({"configuration": {"optimizationEnabled": True, "cachingEnabled": True}}, {}, True),
        ({"apiKey": "k"}, {"caching_enabled": True}, True),
        ({"configuration": {"apiKey": "k"}}, {"caching_enabled": True}, True),
        ({"optimizationEnabled": False}, {"caching_enabled": True}, None),
        ({"configuration": {"optimizationEnabled": "false"}}, {"caching_enabled": True}, None),
        ({"optimizationEnabled": False}, {"optimization_enabled": True}, None),
        ({"optimizationEnabled": True, "cachingEnabled": True}, {"caching_enabled": False}, False),
        ({"optimizationEnabled": True}, {"optimization_enabled": False}, None),
        (None, {"optimization_enabled": False}, None),
        (OptimizationConfig(caching_enabled=True), {}, None),
        (OptimizationConfig(optimization_enabled=True), {"caching_enabled": True}, True),
    ],
)
def test_who_has_the_say(configuration: Any, overrides: dict[str, Any], caches: bool | None) -> None:
    base = Claude()
    model: Any = optimize(base, "anthropic", configuration, **overrides)
    if caches is None:
        assert model is base
    else:
        assert model.config.caches == caches


def test_an_override_that_is_no_setting_is_the_callers_mistake() -> None:
    with pytest.raises(TypeError, match=r"there is no setting cachng_enabled; there are .*caching_enabled"):
        optimize(Claude(), cachng_enabled=True)


def test_an_override_out_of_range_is_logged(caplog: pytest.LogCaptureFixture) -> None:
    base = Claude()
    assert optimize(base, cache_ttl=7) is base
    assert "cache_ttl: 7 is not 300" in caplog.text


def test_a_wrapped_model_is_not_wrapped_twice(ledger_url: str) -> None:
    once: Any = optimize(Claude(), caching_enabled=True)
    twice: Any = optimize(once, batching_enabled=True)
    assert twice.config == OptimizationConfig(optimization_enabled=True, batching_enabled=True)
    twice.invoke("Hi")
    recorder_for(twice.config).flush()
    with Ledger.open(ledger_url) as ledger:
        assert len(list(queries.requests(ledger))) == 1


def test_importing_the_factory_imports_no_integration() -> None:
    heavy = "{'langchain_core', 'langchain_openai', 'langchain_anthropic', 'anthropic', 'openai', 'boto3', 'cohere'}"
    code = f"import sys, llm_optimization.aimodels; print(sorted({heavy} & sys.modules.keys()))"
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60, check=True)
    assert run.stdout == "[]\n"
