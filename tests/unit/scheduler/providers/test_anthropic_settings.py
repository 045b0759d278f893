"""Credential and address: read from the SDK's names, told apart, never shown."""

from __future__ import annotations

import sys
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import anthropic
import pytest
from rich.pretty import pretty_repr

from ledger.errors import ConfigurationError
from scheduler import providers
from scheduler.providers.anthropic import AnthropicBatches, AnthropicSettings

KEY = "sk-ant-secret"


def account(**fields: Any) -> Any:
    return AnthropicBatches(AnthropicSettings(**({"api_key": KEY} | fields))).account()


def test_the_environment_of_the_sdk_is_read_and_empty_is_unset() -> None:
    settings = AnthropicSettings.from_env(
        {"ANTHROPIC_API_KEY": f" {KEY}\n", "ANTHROPIC_AUTH_TOKEN": "", "ANTHROPIC_BASE_URL": "http://x/"},
        timeout_seconds=1.5,
    )
    assert (settings.api_key, settings.auth_token, settings.base_url) == (KEY, None, "http://x/")
    assert settings.timeout_seconds == 1.5
    assert AnthropicSettings.from_env({}).api_key is None


def test_the_key_goes_before_the_token_as_in_the_sdk() -> None:
    assert AnthropicSettings(api_key="a", auth_token="b").credential == "a"
    assert AnthropicSettings(auth_token="b").credential == "b"
    assert account(api_key=None, auth_token="b").credential == account(api_key="b").credential


@pytest.mark.parametrize("shown", [repr, str, pretty_repr])
def test_nothing_shows_the_secret(shown: Any) -> None:
    settings = AnthropicSettings(
        api_key=KEY, base_url="https://user:word@host", headers=(("x-auth", KEY),), proxy="http://user:word@proxy"
    )
    assert KEY not in shown(settings)
    assert "word" not in shown(settings)
    assert KEY not in shown(AnthropicBatches(settings).account())


def test_a_missing_key_is_told_when_it_is_needed() -> None:
    provider = AnthropicBatches(AnthropicSettings())
    for call in (provider.account, provider.newest_batch, lambda: provider.retrieve("x")):
        with pytest.raises(ConfigurationError, match="ANTHROPIC_API_KEY is not set; "):
            call()


@pytest.mark.parametrize("key", ["a b", "schlüssel", "a\nb", "a\x00"])
def test_a_key_that_fits_no_header_is_refused_without_being_shown(key: str) -> None:
    with pytest.raises(ConfigurationError, match="ANTHROPIC_API_KEY holds") as caught:
        account(api_key=key)
    assert key not in str(caught.value)


@pytest.mark.parametrize("url", ["ftp://x", "x.com", "http://", "http://[::1", "http://x:99999"])
def test_an_address_that_cannot_be_dialled_is_a_configuration_error(url: str) -> None:
    with pytest.raises(ConfigurationError, match="ANTHROPIC_BASE_URL"):
        account(base_url=url)


@pytest.mark.parametrize(
    "url", ["ftp://x", "x.com:80", "http://", "http://[::1", "http://word@x:99999", "socks4://x"]
)
def test_a_proxy_that_cannot_be_dialled_is_a_configuration_error(url: str) -> None:
    with pytest.raises(ConfigurationError, match="the proxy is no") as caught:
        account(proxy=url)
    assert url not in str(caught.value)


def test_a_proxy_that_needs_another_package_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "socksio", None)
    with pytest.raises(ConfigurationError, match="pip install socksio"):
        account(proxy="socks5://x")


def test_accounts_are_told_apart_by_key_and_address_alone() -> None:
    assert account() == account()
    assert account().base_url == "https://api.anthropic.com"
    assert account().credential != account(api_key="other").credential
    assert len(account().credential) == 16
    assert account(base_url="HTTPS://user:word@Host.example:8443/v/").base_url == "https://host.example:8443/v"
    assert account().workspace is None
    assert account(headers=(("x-gateway-auth", "tok"),), proxy="http://proxy") == account()


def test_a_workspace_named_for_the_sdk_is_part_of_the_account(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ANTHROPIC_CUSTOM_HEADERS", "Anthropic-Workspace-Id: wrkspc_1")
    assert account().workspace == "wrkspc_1"


def test_threads_share_one_sdk_client(monkeypatch: pytest.MonkeyPatch) -> None:
    made = []

    class Counted(anthropic.Anthropic):
        def __init__(self, **arguments: Any) -> None:
            made.append(self)
            super().__init__(**arguments)

    monkeypatch.setattr(anthropic, "Anthropic", Counted)
    provider = AnthropicBatches(AnthropicSettings(api_key=KEY))
    with ThreadPoolExecutor(8) as pool:
        assert len(set(pool.map(lambda _: provider.account().credential, range(64)))) == 1
    assert len(made) == 1
    provider.close()
    provider.close()


def test_the_registry_knows_its_providers() -> None:
    assert providers.names() == ("anthropic",)
    assert providers.rules("anthropic").name == "anthropic"
    settings = providers.settings("anthropic", {"ANTHROPIC_API_KEY": KEY}, timeout_seconds=1)
    assert providers.provider("anthropic", settings).limits == providers.rules("anthropic").limits
    for call in (providers.rules, lambda name: providers.provider(name, settings)):
        with pytest.raises(ConfigurationError, match="known are: anthropic"):
            call("openai")
