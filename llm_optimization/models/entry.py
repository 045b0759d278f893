"""What a host's configuration says: the model to use, and single values of it."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from llm_optimization.exceptions import ConfigurationError, UnknownModel

__all__ = ["Refinement", "chosen_model", "configuration_of", "given", "required"]

Refinement = Callable[[str, Mapping[str, Any], dict[str, Any]], dict[str, Any]]
"""(provider, configuration, arguments) → the arguments as the class shall have them."""


def configuration_of(provider: str, entry: Mapping[str, Any]) -> Mapping[str, Any]:
    """The inner configuration of a host's entry for one provider. `ConfigurationError` if there is none."""
    configuration = entry.get("configuration") if isinstance(entry, Mapping) else None
    if not isinstance(configuration, Mapping):
        raise ConfigurationError(f"{provider}: the entry has no configuration; add one with at least model in it")
    return configuration


def chosen_model(provider: str, entry: Mapping[str, Any], wanted: str | None = None) -> str:
    """The model to use: `wanted`, or the first of the entry's comma-separated names.

    `UnknownModel` for a wanted name that is not listed; a default entry takes any. `ConfigurationError` if no model
    is named at all.
    """
    listed = given(configuration_of(provider, entry), "model") or ""
    names = [name.strip() for name in str(listed).split(",") if name.strip()]
    if wanted is None:
        if not names:
            raise _lacks(provider, "model")
        return names[0]
    if wanted not in names and not entry.get("isDefault"):
        raise UnknownModel(wanted, str(listed))
    return wanted


def given(configuration: Mapping[str, Any], key: str) -> Any:
    """The value under `key` without blanks around it; None if it is absent or empty, as forms leave it."""
    value = configuration.get(key)
    if isinstance(value, str):
        value = value.strip()
    return None if value == "" else value


def required(provider: str, configuration: Mapping[str, Any], key: str) -> Any:
    """`given`, or a `ConfigurationError` that names the key."""
    value = given(configuration, key)
    if value is None:
        raise _lacks(provider, key)
    return value


def _lacks(provider: str, key: str) -> ConfigurationError:
    return ConfigurationError(f"{provider}: the configuration lacks {key}; add it to the provider's settings")
