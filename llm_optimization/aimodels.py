"""The factory of a host, and the one line for hosts that keep their own.

    model = get_generator_model("anthropic", entry)          # a LangChain model from the host's entry
    model = optimize(model, "anthropic", configuration)      # or the host's own model, optimised

Both give the bare model back where optimisation is off, or cannot be had: then the reason is logged, once per model.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any, TypeVar

from llm_optimization.capabilities import ProviderCapabilities
from llm_optimization.config import OptimizationConfig
from llm_optimization.models import build, chosen_model, configuration_of, provider_of

if TYPE_CHECKING:
    from langchain_core.language_models import BaseChatModel

    Model = TypeVar("Model", bound=BaseChatModel)

__all__ = ["get_generator_model", "get_generator_model_async", "optimize"]

_log = logging.getLogger(__name__)


def get_generator_model(
    provider: str,
    config: Mapping[str, Any],
    model_name: str | None = None,
    reasoning_effort: str | None = None,
    **kw: Any,
) -> BaseChatModel:
    """The chat model of a host's entry `{"provider", "configuration": {…}, "isDefault", "isReasoning", …}`.

    `model_name` is one of the configuration's comma-separated models, by default the first; a default entry takes
    any. `reasoning_effort` counts for entries that are marked as reasoning. `kw` are arguments of LangChain's class
    (`temperature`, `timeout`, …) and win over the configuration.

    With `optimizationEnabled` in the configuration the model comes out wrapped: providers that can be optimised in
    `OptimizedLLMWrapper`, all others in `RecordedChatModel`. If wrapping fails, the reason is logged and the bare
    model is given.

    `UnknownModel` and `UnsupportedProvider` (each a `ValueError` too), `MissingIntegration` if the provider's package
    is not installed, `ConfigurationError` that names what the configuration lacks.
    """
    configuration = configuration_of(provider, config)
    model = chosen_model(provider, config, model_name)
    if reasoning_effort is not None and config.get("isReasoning"):
        kw["reasoning_effort"] = reasoning_effort
    base_model = _create_base_model(provider, configuration, model, **kw)
    return optimize(base_model, provider, {**configuration, "model": model})


async def get_generator_model_async(
    provider: str,
    config: Mapping[str, Any],
    model_name: str | None = None,
    reasoning_effort: str | None = None,
    **kw: Any,
) -> BaseChatModel:
    """`get_generator_model` beside the event loop: imports take a second, credentials may be asked for by HTTP."""
    return await asyncio.to_thread(get_generator_model, provider, config, model_name, reasoning_effort, **kw)


def optimize(
    base_model: Model,
    provider: str | None = None,
    configuration: Mapping[str, Any] | OptimizationConfig | None = None,
    **overrides: Any,
) -> Model:
    """The same model, optimised and recorded: it stays an instance of its class, and everything on it works on.

    `provider` is a host's provider string; without one the model's class tells it. `configuration` is a host's entry,
    flat or nested, or an `OptimizationConfig`; `overrides` are fields of the latter (`caching_enabled=True`).

    An entry that does not say `optimizationEnabled` is off, as the host's own factory has it. Without an entry, or
    with overrides, the call itself is the wish, and only an explicit false keeps it off.

    Whatever keeps a model from being wrapped is logged, and the model given back as it was. `TypeError` for an
    override that is no setting.
    """
    OptimizationConfig.check_names(overrides)
    try:
        settings = OptimizationConfig.wished(configuration, overrides)
        provider = provider or provider_of(base_model)
        if not settings.optimization_enabled:
            _log.info("%s: optimisation is off", provider)
            return base_model
        wrapped: Model = _wrapper_for(provider)(base_model, provider, settings)
    except Exception as error:  # whatever it is, the application has a model that works
        _log.warning(
            "%s: optimisation is off, the model stays as it is: %s: %s",
            provider or type(base_model).__name__,
            type(error).__name__,
            error,
        )
        return base_model
    _log.info("%s: optimisation is on: %s", provider, _features(settings))
    return wrapped


def _create_base_model(provider: str, configuration: Mapping[str, Any], model_name: str, **kw: Any) -> BaseChatModel:
    """LangChain's own model for a host's inner configuration, with nothing of ours. Errors: see the factory."""
    return build(provider, configuration, model_name, **kw)


def _wrapper_for(provider: str) -> Callable[..., Any]:
    """The class to wrap a provider's models in. Imported here, since LangChain comes with it."""
    if ProviderCapabilities.detect(provider).optimizable:
        from llm_optimization.wrapper import OptimizedLLMWrapper

        return OptimizedLLMWrapper
    from llm_optimization.recorded_model import RecordedChatModel

    return RecordedChatModel


def _features(settings: OptimizationConfig) -> str:
    on = (("caching", settings.caches), ("batching", settings.batches), ("recording", settings.records))
    return ", ".join(name for name, there in on if there) or "nothing asked for"
