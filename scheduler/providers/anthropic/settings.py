"""Credential and address, under the environment names of the SDK."""

from __future__ import annotations

import hmac
from collections.abc import Mapping
from importlib.util import find_spec
from typing import Final
from urllib.parse import urlsplit, urlunsplit

import msgspec

from ledger.errors import ConfigurationError

__all__ = ["AnthropicSettings"]

_DEFAULT_BASE_URL = "https://api.anthropic.com"
_ACCOUNT_LABEL = b"llm-ledger account"
_LEAST_SECRET: Final = 8
"""What is shorter than so many characters is not taken for a secret: hiding it would garble what is said."""


class AnthropicSettings(msgspec.Struct, frozen=True, kw_only=True):
    """How to reach Anthropic. At most one of `api_key` and `auth_token` is used: the key, as in the SDK.

    `timeout_seconds` is the longest silence on a connection. `read_retries` is how often the SDK repeats a read
    that failed for a passing reason; a submission is never repeated. `headers` go along with everything that is
    asked, besides `anthropic-beta`: that belongs to each request, and whoever makes one reads it here. `proxy` is the
    URL of one that everything goes through; as in the SDK, one that the environment names comes first.
    """

    api_key: str | None = None
    auth_token: str | None = None
    base_url: str | None = None
    timeout_seconds: float = 600.0
    read_retries: int = 2
    headers: tuple[tuple[str, str], ...] = ()
    proxy: str | None = None

    @classmethod
    def from_env(cls, environ: Mapping[str, str], *, timeout_seconds: float = 600.0) -> AnthropicSettings:
        """From ANTHROPIC_API_KEY, ANTHROPIC_AUTH_TOKEN and ANTHROPIC_BASE_URL; empty counts as unset."""

        def value(name: str) -> str | None:
            return environ.get(name, "").strip() or None

        return cls(
            api_key=value("ANTHROPIC_API_KEY"),
            auth_token=value("ANTHROPIC_AUTH_TOKEN"),
            base_url=value("ANTHROPIC_BASE_URL"),
            timeout_seconds=timeout_seconds,
        )

    @property
    def credential(self) -> str:
        """The secret in use. `ConfigurationError` where there is none, or none that fits into a header."""
        secret = self.api_key or self.auth_token
        name = "ANTHROPIC_AUTH_TOKEN" if self.auth_token and not self.api_key else "ANTHROPIC_API_KEY"
        if not secret:
            raise ConfigurationError(
                "ANTHROPIC_API_KEY is not set; create a key in the Anthropic console and export it"
            )
        if not (secret.isascii() and secret.isprintable()) or " " in secret:
            raise ConfigurationError(f"{name} holds characters that no key has; set it again")
        return secret

    @property
    def address(self) -> str:
        """The base URL as it is dialled, without a trailing slash. `ConfigurationError` where it is none."""
        url = (self.base_url or _DEFAULT_BASE_URL).rstrip("/")
        try:
            parts = urlsplit(url)
            usable = parts.scheme in ("http", "https") and bool(parts.hostname) and parts.port != 0
        except ValueError:
            usable = False
        if not usable:
            raise ConfigurationError("ANTHROPIC_BASE_URL is not an http(s) address; unset it or correct it")
        return url

    @property
    def public_address(self) -> str:
        """The base URL for records and messages: scheme and host in lower case, no user, no query."""
        parts = urlsplit(self.address)
        host = (parts.netloc.rpartition("@")[2]).lower()
        return urlunsplit((parts.scheme, host, parts.path, "", ""))

    @property
    def way(self) -> str | None:
        """The proxy as it is dialled, if there is one. `ConfigurationError` where it is none."""
        if self.proxy is None:
            return None
        try:
            parts = urlsplit(self.proxy)
            usable = (
                parts.scheme in ("http", "https", "socks5", "socks5h") and bool(parts.hostname) and parts.port != 0
            )
        except ValueError:
            usable = False
        if not usable:
            raise ConfigurationError("the proxy is no http(s) or socks5 address; correct it")
        if parts.scheme.startswith("socks") and find_spec("socksio") is None:
            raise ConfigurationError("a socks5 proxy needs another package; pip install socksio")
        return self.proxy

    @property
    def secrets(self) -> tuple[str, ...]:
        """What no message may repeat: the credential, and what a gateway is told in headers of its own."""
        told = (value for name, value in self.headers if not name.lower().startswith("anthropic-"))
        return self.credential, *(value for value in told if len(value) >= _LEAST_SECRET)

    def fingerprint(self) -> str:
        """16 hex digits that tell credentials apart and reveal nothing of them."""
        return hmac.new(self.credential.encode(), _ACCOUNT_LABEL, "sha256").hexdigest()[:16]

    def __repr__(self) -> str:
        fields = ", ".join(f"{name}={value!r}" for name, value in self.__rich_repr__())
        return f"AnthropicSettings({fields})"

    def __rich_repr__(self) -> list[tuple[str, object]]:
        credential = "set" if self.api_key or self.auth_token else "missing"
        return [
            ("credential", credential),
            ("timeout_seconds", self.timeout_seconds),
            ("read_retries", self.read_retries),
        ]
