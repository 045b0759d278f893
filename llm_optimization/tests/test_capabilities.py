"""What each provider offers, by any of its names."""

from __future__ import annotations

import dataclasses
import doctest
import pickle
from decimal import Decimal
from enum import StrEnum
from typing import Any

import pytest

from llm_optimization import capabilities
from llm_optimization.capabilities import ProviderCapabilities
from scheduler.providers.anthropic.limits import LIMITS, cacheable_minimum

OPTIMIZABLE = {
    "anthropic": "anthropic",
    "openAI": "openai",
    "azureOpenAI": "azure_openai",
    "gemini": "gemini",
    "vertexAI": "vertex_ai",
    "bedrock": "bedrock",
}
PLAIN = {
    "cohere": "cohere",
    "fireworks": "fireworks",
    "groq": "groq",
    "mistral": "mistral",
    "ollama": "ollama",
    "together": "together",
    "xai": "xai",
    "openAICompatible": "openai_compatible",
    "azureAI": "azure_ai",
    "litellmProxy": "litellm_proxy",
    "lmStudio": "lm_studio",
    "minimax": "minimax",
    "openRouter": "openrouter",
}
HOSTS = OPTIMIZABLE | PLAIN
"""The provider strings of hosts, and the canonical names."""

ALIASES = {
    "Anthropic": "anthropic",
    "ANTHROPIC": "anthropic",
    " claude\n": "anthropic",
    "OpenAI": "openai",
    "azure_openai": "azure_openai",
    "azure-openai": "azure_openai",
    "AzureOpenAI": "azure_openai",
    "Azure OpenAI": "azure_openai",
    "azure": "azure_openai",
    "google": "gemini",
    "google_genai": "gemini",
    "vertex_ai": "vertex_ai",
    "vertexai": "vertex_ai",
    "google_vertexai": "vertex_ai",
    "aws_bedrock": "bedrock",
    "AWS Bedrock": "bedrock",
    "bedrock_converse": "bedrock",
    "openai-compatible": "openai_compatible",
    "azure_ai": "azure_ai",
    "litellm": "litellm_proxy",
    "lm-studio": "lm_studio",
    "MiniMax": "minimax",
    "open_router": "openrouter",
    "fireworks_ai": "fireworks",
    "mistralai": "mistral",
    "together_ai": "together",
    "x.ai": "xai",
    "Grok": "xai",
}


class HostProvider(StrEnum):
    """As hosts keep their provider strings."""

    AZURE_OPENAI = "azureOpenAI"


def test_anthropic_capabilities() -> None:
    found = ProviderCapabilities.detect("anthropic")
    assert found.supports_batching
    assert found.supports_caching
    assert found.optimizable
    assert found.cache_markers == "explicit"
    assert found.batch_max_requests == LIMITS.max_items == 100_000
    assert found.batch_max_bytes == LIMITS.max_bytes
    assert found.batch_discount == Decimal("0.5")
    assert found.batch_driver
    assert found.cache_driver


def test_openai_capabilities() -> None:
    found = ProviderCapabilities.detect("openAI")
    assert found.supports_batching
    assert found.supports_caching
    assert found.cache_markers == "automatic"
    assert (found.batch_max_requests, found.batch_max_bytes) == (50_000, 200_000_000)
    assert ProviderCapabilities.detect("azureOpenAI") == dataclasses.replace(
        found, provider="azure_openai", batch_max_requests=100_000
    )


def test_gemini_capabilities() -> None:
    found = ProviderCapabilities.detect("gemini")
    assert found.supports_batching
    assert found.supports_caching
    assert found.cache_markers == "automatic"
    assert (found.batch_max_requests, found.batch_max_bytes) == (None, 2_000_000_000)
    assert ProviderCapabilities.detect("vertexAI") == dataclasses.replace(
        found, provider="vertex_ai", batch_max_requests=200_000, batch_max_bytes=None
    )


def test_bedrock_capabilities() -> None:
    found = ProviderCapabilities.detect("bedrock")
    assert found.supports_batching
    assert found.supports_caching
    assert found.cache_markers == "explicit"
    assert (found.batch_max_requests, found.batch_max_bytes) == (None, None)


def test_ollama_capabilities() -> None:
    found = ProviderCapabilities.detect("ollama")
    assert found == ProviderCapabilities("ollama")
    assert not found.supports_batching
    assert not found.supports_caching
    assert not found.optimizable
    assert found.cache_markers == "none"


@pytest.mark.parametrize("provider", ["Somebody New", "somebody new ", "SOMEBODY NEW"])
def test_unknown_provider(provider: str) -> None:
    assert ProviderCapabilities.detect(provider) == ProviderCapabilities("somebody new")


@pytest.mark.parametrize("nothing", [None, "", "  ", "-", 7, b"anthropic", ["anthropic"]])
def test_what_names_no_provider_is_not_optimised(nothing: Any) -> None:
    assert not ProviderCapabilities.detect(nothing).optimizable


@pytest.mark.parametrize(("spelling", "provider"), [*HOSTS.items(), *ALIASES.items()])
def test_a_provider_is_known_by_each_of_its_names(spelling: str, provider: str) -> None:
    assert ProviderCapabilities.detect(spelling).provider == provider
    assert ProviderCapabilities.detect(provider) == ProviderCapabilities.detect(spelling)


def test_an_enumeration_member_of_a_host_is_a_name() -> None:
    assert ProviderCapabilities.detect(HostProvider.AZURE_OPENAI).provider == "azure_openai"


@pytest.mark.parametrize("provider", HOSTS)
def test_the_optimisable_ones_are_those_of_the_checklist(provider: str) -> None:
    found = ProviderCapabilities.detect(provider)
    assert found.optimizable == (provider in OPTIMIZABLE)
    # All or nothing: a provider that does not count as optimisable claims no figure either.
    assert found.optimizable or found == ProviderCapabilities(HOSTS[provider])


def test_only_anthropic_is_driven_from_here() -> None:
    driven = {name for name in HOSTS if ProviderCapabilities.detect(name).batch_driver}
    assert driven == {name for name in HOSTS if ProviderCapabilities.detect(name).cache_driver} == {"anthropic"}


@pytest.mark.parametrize(
    ("provider", "model", "tokens"),
    [
        ("anthropic", "claude-opus-4-7", 2_048),
        ("anthropic", "claude-haiku-4-5-20251001", cacheable_minimum("claude-haiku-4-5")),
        ("anthropic", "claude-of-tomorrow", None),
        ("anthropic", "", None),
        ("anthropic", None, None),
        ("openAI", "gpt-5", 1_024),
        ("azureOpenAI", None, 1_024),
        ("gemini", "gemini-3-pro", None),
        ("bedrock", "claude-opus-4-7", None),
        ("openAICompatible", "gpt-5", None),
        ("ollama", "llama", None),
    ],
)
def test_the_least_that_is_cached_depends_on_the_model(provider: str, model: str | None, tokens: int | None) -> None:
    assert ProviderCapabilities.detect(provider).min_cacheable_tokens(model) == tokens


def test_capabilities_are_values() -> None:
    found = ProviderCapabilities.detect("anthropic")
    assert pickle.loads(pickle.dumps(found)) == found
    assert len({found, ProviderCapabilities.detect("claude")}) == 1
    with pytest.raises(dataclasses.FrozenInstanceError):
        found.supports_batching = False  # type: ignore[misc]


def test_the_examples_are_true() -> None:
    assert doctest.testmod(capabilities, optionflags=doctest.ELLIPSIS).failed == 0
