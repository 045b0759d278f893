"""From a host's configuration to the arguments of LangChain's classes. The classes are stand-ins: nothing is sent."""

from __future__ import annotations

import json
import logging
import sys
from collections.abc import Iterator
from typing import Any

import pytest
from pydantic import BaseModel, create_model, field_validator

from llm_optimization.exceptions import ConfigurationError, MissingIntegration, UnsupportedProvider
from llm_optimization.models import PROVIDERS, build
from tests.support.fake_integrations import FakeChat, given_to, installed

CONFIGURATION = {
    "apiKey": "sk-1",
    "endpoint": "https://models.test",
    "organizationId": "org-1",
    "deploymentName": "chat",
    "region": "eu-central-1",
    "awsAccessKeyId": "AKIA1",
    "awsAccessSecretKey": "secret",
    "project": "acme",
    "model": "m-1",
}
OPENAI = {"model": "m-1", "api_key": "sk-1", "base_url": "https://models.test", "stream_usage": True}
BASE_URL = {"model": "m-1", "api_key": "sk-1", "base_url": "https://models.test"}
MADE: dict[str, tuple[str, dict[str, Any]]] = {
    "anthropic": ("ChatAnthropic", BASE_URL),
    "azureAI": ("ChatOpenAI", OPENAI | {"organization": "org-1"}),
    "azureOpenAI": (
        "AzureChatOpenAI",
        {
            "model": "m-1",
            "api_key": "sk-1",
            "azure_endpoint": "https://models.test",
            "azure_deployment": "chat",
            "api_version": "2025-04-01-preview",
            "stream_usage": True,
        },
    ),
    "bedrock": (
        "ChatBedrockConverse",
        {
            "model": "m-1",
            "base_url": "https://models.test",
            "region_name": "eu-central-1",
            "aws_access_key_id": "AKIA1",
            "aws_secret_access_key": "secret",
        },
    ),
    "cohere": ("ChatCohere", {"model": "m-1", "cohere_api_key": "sk-1", "base_url": "https://models.test"}),
    "fireworks": ("ChatFireworks", BASE_URL),
    "gemini": ("ChatGoogleGenerativeAI", BASE_URL),
    "groq": ("ChatGroq", BASE_URL),
    "litellmProxy": ("ChatOpenAI", OPENAI | {"organization": "org-1"}),
    "lmStudio": ("ChatOpenAI", OPENAI | {"organization": "org-1"}),
    "minimax": ("ChatOpenAI", OPENAI | {"organization": "org-1"}),
    "mistral": ("ChatMistralAI", BASE_URL),
    "ollama": ("ChatOllama", {"model": "m-1", "base_url": "https://models.test"}),
    "openAI": ("ChatOpenAI", OPENAI | {"organization": "org-1"}),
    "openAICompatible": ("ChatOpenAI", OPENAI | {"organization": "org-1"}),
    "openRouter": ("ChatOpenAI", OPENAI | {"organization": "org-1"}),
    "together": ("ChatTogether", BASE_URL),
    "vertexAI": (
        "ChatGoogleGenerativeAI",
        {
            "model": "m-1",
            "base_url": "https://models.test",
            "vertexai": True,
            "project": "acme",
            "location": "us-central1",
        },
    ),
    "xai": ("ChatXAI", BASE_URL),
}


@pytest.fixture(autouse=True, scope="module")
def _integrations() -> Iterator[None]:
    with installed():
        yield


def without(*keys: str, **more: Any) -> dict[str, Any]:
    return {key: value for key, value in CONFIGURATION.items() if key not in keys} | more


def made(provider: str, configuration: dict[str, Any] | None = None, model: str = "m-1", **kw: Any) -> dict[str, Any]:
    return given_to(build(provider, configuration or CONFIGURATION, model, **kw))


def test_every_provider_is_in_the_table_of_this_test() -> None:
    assert set(PROVIDERS) == set(MADE)


@pytest.mark.parametrize("provider", MADE)
def test_a_configuration_becomes_the_arguments_of_the_class(provider: str) -> None:
    model = build(provider, CONFIGURATION, "m-1")
    assert (type(model).__name__, given_to(model)) == MADE[provider]


@pytest.mark.parametrize("spelling", ["OpenAI", "openai", "OPENAI"])
def test_spellings_do_not_matter(spelling: str) -> None:
    assert type(build(spelling, CONFIGURATION, "m-1")).__name__ == "ChatOpenAI"


@pytest.mark.parametrize(
    ("provider", "keys"),
    [
        ("anthropic", ["apiKey"]),
        ("azureAI", ["apiKey", "endpoint"]),
        ("azureOpenAI", ["apiKey", "endpoint", "deploymentName"]),
        ("bedrock", ["region"]),
        ("cohere", ["apiKey"]),
        ("litellmProxy", ["endpoint"]),
        ("ollama", []),
        ("openAI", ["apiKey"]),
        ("openAICompatible", ["apiKey", "endpoint"]),
        ("vertexAI", ["project"]),
    ],
)
def test_what_the_configuration_lacks_is_named(
    provider: str, keys: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("AWS_REGION", raising=False)
    monkeypatch.delenv("AWS_DEFAULT_REGION", raising=False)
    complaints = []
    for key in CONFIGURATION:
        for configuration in (without(key), {**CONFIGURATION, key: "  "}, {**CONFIGURATION, key: None}):
            try:
                build(provider, configuration, "m-1")
            except ConfigurationError as error:
                complaints.append(str(error))
    assert complaints == [
        f"{provider}: the configuration lacks {key}; add it to the provider's settings"
        for key in keys
        for _ in range(3)
    ]


def test_the_environments_region_does(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_DEFAULT_REGION", "eu-west-1")
    assert "region_name" not in made("bedrock", without("region"))


@pytest.mark.parametrize(
    ("inner", "vendor"),
    [
        ({}, None),
        ({"provider": "meta"}, "meta"),
        ({"provider": "other", "customProvider": "writer"}, "writer"),
        ({"provider": "other"}, None),
    ],
)
def test_the_vendor_of_a_bedrock_model(inner: dict[str, str], vendor: str | None) -> None:
    assert made("bedrock", CONFIGURATION | inner).get("provider") == vendor


def test_own_servers_need_no_key_and_never_get_openais() -> None:
    assert made("lmStudio", without("apiKey"))["api_key"] == "not-needed"


def test_endpoints_that_are_known() -> None:
    assert made("minimax", without("endpoint"))["base_url"] == "https://api.minimax.io/v1"
    assert made("openRouter", without("endpoint"))["base_url"] == "https://openrouter.ai/api/v1"
    assert "base_url" not in made("openAI", without("endpoint"))


def test_claude_on_azure_ai_is_anthropics_class() -> None:
    model = build("azureAI", CONFIGURATION, "claude-opus-5")
    assert type(model).__name__ == "ChatAnthropic"
    assert given_to(model) == BASE_URL | {"model": "claude-opus-5"}


def test_a_service_account_brings_credentials_and_project(monkeypatch: pytest.MonkeyPatch) -> None:
    seen: dict[str, Any] = {}

    class Credentials:
        project_id = "from-account"

        @classmethod
        def from_service_account_info(cls, info: dict[str, Any], scopes: tuple[str, ...]) -> Credentials:
            seen.update(info)
            return cls()

    accounts = type(sys)("google.oauth2.service_account")
    accounts.Credentials = Credentials  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "google.oauth2.service_account", accounts)
    arguments = made("vertexAI", without("project", serviceAccountJson=json.dumps({"client_email": "a@b"})))
    assert seen == {"client_email": "a@b"}
    assert arguments["project"] == "from-account"
    assert isinstance(arguments["credentials"], Credentials)
    named = made("vertexAI", without(project="acme", serviceAccountJson={"client_email": "a@b"}))
    assert named["project"] == "acme"


@pytest.mark.integrations
@pytest.mark.parametrize("account", ["{no json", '{"private_key": "-----BEGIN TOP"}', "[]", "7"])
def test_a_bad_service_account_is_refused_without_showing_it(account: str) -> None:
    with pytest.raises(ConfigurationError, match="serviceAccountJson is no key of a service account") as refusal:
        build("vertexAI", CONFIGURATION | {"serviceAccountJson": account}, "m-1")
    assert refusal.value.__cause__ is None
    assert "BEGIN" not in str(refusal.value)


# --- what the configuration says, and nothing else ------------------------------------------------------------


def test_sampling_is_the_providers_unless_the_configuration_says_otherwise() -> None:
    assert "temperature" not in made("openAI")
    assert made("openAI", CONFIGURATION | {"temperature": 0, "maxTokens": 100}) == OPENAI | {
        "organization": "org-1",
        "temperature": 0,
        "max_tokens": 100,
    }
    assert made("ollama", CONFIGURATION | {"maxTokens": 100})["num_predict"] == 100


def test_arguments_of_the_caller_win() -> None:
    arguments = made("groq", CONFIGURATION | {"temperature": 0.2}, temperature=0.9, timeout=360)
    assert (arguments["temperature"], arguments["timeout"]) == (0.9, 360)


def test_sampling_of_an_older_claude_travels_under_the_version_that_takes_it() -> None:
    arguments = made("anthropic", CONFIGURATION | {"temperature": 0.2}, "claude-sonnet-4-6")
    assert arguments["temperature"] == 0.2
    assert arguments["default_headers"] == {"anthropic-version": "2023-06-01"}


def test_headers_of_the_caller_stay() -> None:
    headers = {"x-team": "search", "anthropic-version": "2026-10-21"}
    arguments = made("anthropic", None, "claude-sonnet-4-6", top_p=0.5, default_headers=headers)
    assert arguments["default_headers"] == headers


def test_sampling_that_a_claude_takes_under_no_version_is_left_out(caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.INFO):
        arguments = made("azureAI", CONFIGURATION | {"temperature": 0.2}, "claude-opus-5")
    assert arguments == BASE_URL | {"model": "claude-opus-5"}
    assert caplog.messages == ["azureAI: claude-opus-5 takes no sampling; left out: temperature"]


@pytest.mark.parametrize(("field", "known"), [("reasoning_effort", True), ("reasoning", True), ("thoughts", False)])
def test_the_reasoning_effort_goes_where_the_class_has_it(field: str, known: bool) -> None:
    fields: Any = {field: (str | None, None)}
    kind = create_model("Reasoning", __base__=FakeChat, **fields)
    with installed(kind):
        model = build("ollama", CONFIGURATION, "m-1", reasoning_effort="high")
    assert getattr(model, field) == ("high" if known else None)


# --- what cannot be made ---------------------------------------------------------------------------------------


def test_an_unknown_provider() -> None:
    with pytest.raises(
        UnsupportedProvider, match=r"^Unsupported provider type: acme; use one of anthropic, "
    ) as error:
        build("acme", CONFIGURATION, "m-1")
    assert isinstance(error.value, ValueError)


@pytest.mark.parametrize(
    ("provider", "package", "extra"), [("groq", "langchain_groq", "groq"), ("bedrock", "langchain_aws", "aws")]
)
def test_a_missing_integration_says_what_to_install(
    provider: str, package: str, extra: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, package, None)
    with pytest.raises(MissingIntegration, match=rf"pip install 'llm-ledger\[{extra}\]'"):
        build(provider, CONFIGURATION, "m-1")


def test_an_integration_too_old_for_the_class_is_missing_too(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "langchain_aws", type(sys)("langchain_aws"))
    with pytest.raises(MissingIntegration, match="bedrock needs langchain-aws"):
        build("bedrock", CONFIGURATION, "m-1")


def test_what_a_class_refuses_is_told_without_the_values() -> None:
    class Strict(BaseModel):
        model: str
        api_key: int

        @field_validator("model")
        @classmethod
        def _named(cls, value: str) -> str:
            raise ValueError("no such model")

    groq = type(sys)("langchain_groq")
    groq.ChatGroq = Strict  # type: ignore[attr-defined]
    with pytest.MonkeyPatch.context() as patch:
        patch.setitem(sys.modules, "langchain_groq", groq)
        with pytest.raises(ConfigurationError) as refusal:
            build("groq", CONFIGURATION | {"apiKey": "sk-very-secret"}, "m-1")
    assert str(refusal.value) == (
        "groq: ChatGroq refuses model: Value error, no such model; "
        "api_key: Input should be a valid integer, unable to parse string as an integer"
    )
    assert refusal.value.__suppress_context__


def test_without_googles_package_a_service_account_cannot_be_used(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "google.oauth2.service_account", None)
    with pytest.raises(MissingIntegration, match=r"vertexAI needs google-auth; pip install 'llm-ledger\[vertexai\]'"):
        build("vertexAI", CONFIGURATION | {"serviceAccountJson": "{}"}, "m-1")
