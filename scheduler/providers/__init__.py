"""The providers that the scheduler can batch with, by name.

Nothing of a provider is imported before it is asked for: `import anthropic` alone costs over a second.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from ledger.crash_points import obey
from ledger.errors import ConfigurationError

if TYPE_CHECKING:
    from scheduler.providers.base import BatchProvider, RequestRules

__all__ = ["names", "provider", "rules", "settings"]

_NAMES = ("anthropic",)


def names() -> tuple[str, ...]:
    """Names of the known providers."""
    return _NAMES


def rules(name: str) -> RequestRules:
    """The provider's rules for params: no key, no network. `ConfigurationError` for an unknown name."""
    _known(name)
    from scheduler.providers.anthropic import AnthropicRules

    return AnthropicRules()


def settings(name: str, environ: Mapping[str, str], *, timeout_seconds: float) -> Any:
    """What `provider` wants, read from the environment under the names of the provider's own SDK."""
    _known(name)
    from scheduler.providers.anthropic import AnthropicSettings

    return AnthropicSettings.from_env(environ, timeout_seconds=timeout_seconds)


def provider(name: str, settings: Any) -> BatchProvider:
    """The provider's batch API. No network yet; a missing key is reported by the first call that needs it."""
    _known(name)
    from scheduler.providers.anthropic import AnthropicBatches

    batches = AnthropicBatches(settings)
    if not obey():
        return batches
    from scheduler.crash_points import with_crash_points

    return with_crash_points(batches)


def _known(name: str) -> None:
    if name not in _NAMES:
        raise ConfigurationError(f"no provider is called {name!r}; known are: {', '.join(_NAMES)}")
