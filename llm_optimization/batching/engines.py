"""The engines of this process: one for each ledger, account and policy, shared by all who ask."""

from __future__ import annotations

import os
import threading
from collections.abc import Mapping
from typing import Any, Final

import msgspec
from sqlalchemy import make_url

from ledger.backends import open_database
from ledger.errors import ConfigurationError
from ledger.forks import survives_forks
from ledger.settings import LedgerSettings
from ledger.shared import absolute_url
from llm_optimization.batching.engine import PROVIDER, Engine
from llm_optimization.config import OptimizationConfig
from scheduler import Policy, SchedulerSettings, providers
from scheduler.providers.anthropic import AnthropicSettings
from scheduler.providers.anthropic.versions import API_VERSIONS

__all__ = ["account_settings", "engine_for"]

# A credential beside the key would make another account of it unseen; the others are each request's own.
_NOT_CARRIED: Final = frozenset(
    {
        "authorization",
        "x-api-key",
        "anthropic-version",
        "connection",
        "content-encoding",
        "content-length",
        "content-type",
        "transfer-encoding",
    }
)


def engine_for(settings: AnthropicSettings | None, config: OptimizationConfig) -> Engine:
    """This process's engine for that account and configuration; None is the environment's account.

    `batch_max_size` and `batch_timeout` are the configuration's, everything else `LLM_LEDGER_…` says. Raises
    `ConfigurationError` for settings that cannot be used. Connects to nothing.
    """
    url = config.database_url or LedgerSettings.from_env().database_url
    LedgerSettings.from_env({"LLM_LEDGER_DATABASE_URL": url})  # refuses what would keep nothing
    open_database(url).close()  # and what is no ledger's URL
    chosen = SchedulerSettings.from_env()
    # A request that fails in every batch is the wrapper's to repeat as a standard call.
    policy = msgspec.structs.replace(
        chosen.policy(),
        max_requests=config.batch_max_size,
        max_age_seconds=float(config.batch_timeout),
        fallback_to_standard=False,
    )
    account = settings or providers.settings(PROVIDER, os.environ, timeout_seconds=chosen.http_timeout_seconds)
    place = absolute_url(make_url(url)).render_as_string(hide_password=False)
    return _engines.at(place, account, policy)


def account_settings(model: Any) -> AnthropicSettings:
    """The account, headers and proxy of a `ChatAnthropic`; what it does not say is the environment's.

    Raises `ConfigurationError` for a header or a proxy that batches cannot have.
    """
    seconds = SchedulerSettings.from_env().http_timeout_seconds
    account: AnthropicSettings = providers.settings(PROVIDER, os.environ, timeout_seconds=seconds)
    secret = getattr(model, "anthropic_api_key", None)
    key = secret.get_secret_value() if secret is not None else ""
    changes: dict[str, Any] = {"base_url": getattr(model, "anthropic_api_url", None) or account.base_url}
    if key.strip():
        changes |= {"api_key": key.strip(), "auth_token": None}
    changes["headers"] = _carried(getattr(model, "default_headers", None) or {})
    changes["proxy"] = getattr(model, "anthropic_proxy", None) or None
    settings = msgspec.structs.replace(account, **changes)
    _ = settings.way  # said now, and not when requests are on record
    return settings


def _carried(headers: Mapping[str, str]) -> tuple[tuple[str, str], ...]:
    """In one order, so that the same are the same account. Raises `ConfigurationError`, which tells names alone.

    An API version that is known here is left out: each request finds its own.
    """
    headers = {name: value for name, value in headers.items() if not _is_known_version(name, value)}
    unfit = [name for name, value in headers.items() if name.lower() in _NOT_CARRIED or not _is_plain(value)]
    if unfit:
        raise ConfigurationError(
            f"batches cannot be made with {', '.join(sorted(unfit))} in default_headers; give a credential as api_key"
            " and plain text as values, and leave out what each request sets by itself"
        )
    return tuple(sorted(headers.items()))


def _is_known_version(name: str, value: object) -> bool:
    return name.lower() == "anthropic-version" and value in API_VERSIONS


def _is_plain(value: object) -> bool:
    return isinstance(value, str) and value.isascii() and value.isprintable()


class _Engines:
    """Those of this process."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._engines: dict[tuple[str, AnthropicSettings, Policy], Engine] = {}
        survives_forks(self)

    def at(self, url: str, settings: AnthropicSettings, policy: Policy) -> Engine:
        with self._lock:
            place = (url, settings, policy)
            if (engine := self._engines.get(place)) is None:
                engine = self._engines[place] = Engine(url, settings, policy)
            return engine

    def before_fork(self) -> None:
        """Nothing: see `shared_writer`."""

    def after_fork(self, *, child: bool) -> None:
        if child:
            self._lock = threading.Lock()


_engines = _Engines()
