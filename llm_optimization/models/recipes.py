"""Which class serves a provider, and which of its arguments each key of the configuration becomes.

Choices where LangChain has several classes:

- Bedrock is `ChatBedrockConverse`: binding tools to a `ChatBedrock` makes one anyway, and would lose the wrapper.
- Vertex AI is `ChatGoogleGenerativeAI` on Vertex's endpoint: `ChatVertexAI` is deprecated in its favour.
- Azure AI is `ChatAnthropic` for Claude, else `ChatOpenAI`, on the endpoint that the configuration names.

Nothing is set that the configuration does not say, so sampling stays the provider's; but streams of the OpenAI
format are asked for their usage, which no other way tells.
"""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import Any, Final

import msgspec
from msgspec.structs import replace

from llm_optimization.capabilities import ProviderCapabilities
from llm_optimization.exceptions import UnsupportedProvider
from llm_optimization.models import bedrock, claude, vertex
from llm_optimization.models.entry import Refinement, given, required

__all__ = ["PROVIDERS", "Recipe", "recipe_for"]

_NEEDED: Final = MappingProxyType({"apiKey": "api_key"})
_OPTIONAL: Final = MappingProxyType({"endpoint": "base_url", "temperature": "temperature", "maxTokens": "max_tokens"})
_NOTHING: Final[Mapping[str, Any]] = MappingProxyType({})


class Recipe(msgspec.Struct, frozen=True, kw_only=True):
    """How a configuration becomes the arguments of class `name` of `package`, which the extra `extra` brings.

    `needed` and `optional` map keys of the configuration to arguments. `always` holds what the class gets in any
    case, unless the configuration says otherwise. `refined` has the last word.
    """

    package: str
    name: str
    extra: str
    needed: Mapping[str, str] = _NEEDED
    optional: Mapping[str, str] = _OPTIONAL
    always: Mapping[str, Any] = _NOTHING
    refined: Refinement | None = None

    def arguments(
        self, provider: str, configuration: Mapping[str, Any], model: str, overrides: Mapping[str, Any]
    ) -> dict[str, Any]:
        """What the class is made with; `overrides` win. `ConfigurationError` names a key that lacks."""
        arguments = {"model": model, **self.always}
        for key, argument in self.optional.items():
            if (value := given(configuration, key)) is not None:
                arguments[argument] = value
        for key, argument in self.needed.items():
            arguments[argument] = required(provider, configuration, key)
        arguments |= overrides
        return self.refined(provider, configuration, arguments) if self.refined else arguments


_CLAUDE: Final = Recipe(
    package="langchain_anthropic", name="ChatAnthropic", extra="langchain", refined=claude.sampled
)
_OPENAI: Final = Recipe(
    package="langchain_openai",
    name="ChatOpenAI",
    extra="openai",
    optional={**_OPTIONAL, "organizationId": "organization"},
    always={"stream_usage": True},
)
_COMPATIBLE: Final = replace(_OPENAI, needed={"apiKey": "api_key", "endpoint": "base_url"})
_LOCAL: Final = replace(
    _OPENAI,
    needed={"endpoint": "base_url"},
    optional={**_OPENAI.optional, "apiKey": "api_key"},
    # Without a key of its own the class would send OpenAI's, from the environment, to somebody else's server.
    always={"stream_usage": True, "api_key": "not-needed"},
)
_AZURE_CLAUDE: Final = replace(_CLAUDE, needed={"apiKey": "api_key", "endpoint": "base_url"})

_RECIPES: Final = {
    "anthropic": _CLAUDE,
    "azureAI": _COMPATIBLE,
    "azureOpenAI": Recipe(
        package="langchain_openai",
        name="AzureChatOpenAI",
        extra="openai",
        needed={"apiKey": "api_key", "endpoint": "azure_endpoint", "deploymentName": "azure_deployment"},
        optional={"apiVersion": "api_version", "temperature": "temperature", "maxTokens": "max_tokens"},
        always={"stream_usage": True, "api_version": "2025-04-01-preview"},
    ),
    "bedrock": Recipe(
        package="langchain_aws",
        name="ChatBedrockConverse",
        extra="aws",
        needed={},
        optional={
            **_OPTIONAL,
            "region": "region_name",
            "awsAccessKeyId": "aws_access_key_id",
            "awsAccessSecretKey": "aws_secret_access_key",
        },
        refined=bedrock.placed,
    ),
    "cohere": Recipe(
        package="langchain_cohere",
        name="ChatCohere",
        extra="cohere",
        needed={"apiKey": "cohere_api_key"},
        optional={"endpoint": "base_url", "temperature": "temperature"},
    ),
    "fireworks": Recipe(package="langchain_fireworks", name="ChatFireworks", extra="fireworks"),
    "gemini": Recipe(package="langchain_google_genai", name="ChatGoogleGenerativeAI", extra="gemini"),
    "groq": Recipe(package="langchain_groq", name="ChatGroq", extra="groq"),
    "litellmProxy": _LOCAL,
    "lmStudio": _LOCAL,
    "minimax": replace(_OPENAI, always={"stream_usage": True, "base_url": "https://api.minimax.io/v1"}),
    "mistral": Recipe(package="langchain_mistralai", name="ChatMistralAI", extra="mistral"),
    "ollama": Recipe(
        package="langchain_ollama",
        name="ChatOllama",
        extra="ollama",
        needed={},
        optional={"endpoint": "base_url", "temperature": "temperature", "maxTokens": "num_predict"},
    ),
    "openAI": _OPENAI,
    "openAICompatible": _COMPATIBLE,
    "openRouter": replace(_OPENAI, always={"stream_usage": True, "base_url": "https://openrouter.ai/api/v1"}),
    "together": Recipe(package="langchain_together", name="ChatTogether", extra="together"),
    "vertexAI": Recipe(
        package="langchain_google_genai",
        name="ChatGoogleGenerativeAI",
        extra="vertexai",
        needed={},
        optional={**_OPTIONAL, "project": "project", "location": "location"},
        always={"vertexai": True, "location": "us-central1"},
        refined=vertex.credentialed,
    ),
    "xai": Recipe(package="langchain_xai", name="ChatXAI", extra="xai"),
}

PROVIDERS: Final = tuple(_RECIPES)
"""Every provider string of a host that can be built, as hosts spell it."""

_BY_NAME: Final = {ProviderCapabilities.detect(spelling).provider: recipe for spelling, recipe in _RECIPES.items()}


def recipe_for(provider: str, model: str) -> Recipe:
    """The recipe of a provider, in any of its spellings, for one model. `UnsupportedProvider` if there is none."""
    name = ProviderCapabilities.detect(provider).provider
    if name == "azure_ai" and "claude" in model.lower():
        return _AZURE_CLAUDE
    try:
        return _BY_NAME[name]
    except KeyError:
        raise UnsupportedProvider(provider, PROVIDERS) from None
