"""From a provider, its configuration and a model's name to LangChain's own model."""

from __future__ import annotations

import importlib
import logging
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from pydantic import ValidationError

from llm_optimization.exceptions import ConfigurationError, MissingIntegration
from llm_optimization.models.recipes import Recipe, recipe_for

if TYPE_CHECKING:
    from langchain_core.language_models import BaseChatModel

__all__ = ["build"]

_log = logging.getLogger(__name__)


def build(
    provider: str,
    configuration: Mapping[str, Any],
    model: str,
    *,
    reasoning_effort: str | None = None,
    **overrides: Any,
) -> BaseChatModel:
    """LangChain's model for `model` of `provider`, made from a host's inner configuration. Nothing is sent.

    `reasoning_effort` goes to classes that know it. `overrides` are arguments of the class, and win.
    `UnsupportedProvider`, `MissingIntegration`; `ConfigurationError` for what the configuration lacks, or the class
    refuses, without the values: they may be secret.
    """
    recipe = recipe_for(provider, model)
    arguments = recipe.arguments(provider, configuration, model, overrides)
    kind = _imported(provider, recipe)
    if reasoning_effort is not None:
        arguments = _reasoning(kind, reasoning_effort) | arguments
    try:
        return kind(**arguments)
    except ValidationError as refusal:
        raise ConfigurationError(f"{provider}: {recipe.name} refuses {_problems(refusal)}") from None


def _imported(provider: str, recipe: Recipe) -> type[BaseChatModel]:
    try:
        kind: type[BaseChatModel] = getattr(importlib.import_module(recipe.package), recipe.name)
    except (ImportError, AttributeError) as missing:
        raise MissingIntegration(provider, recipe.package.replace("_", "-"), recipe.extra) from missing
    return kind


def _reasoning(kind: type[BaseChatModel], effort: str) -> dict[str, str]:
    """The effort under the name that the class has for it: Ollama's is `reasoning`."""
    for name in ("reasoning_effort", "reasoning"):
        if name in kind.model_fields:
            return {name: effort}
    _log.info("%s has no setting for the reasoning effort; left out", kind.__name__)
    return {}


def _problems(refusal: ValidationError) -> str:
    return "; ".join(
        f"{'.'.join(map(str, problem['loc'])) or 'its arguments'}: {problem['msg']}"
        for problem in refusal.errors(include_input=False, include_url=False, include_context=False)
    )
