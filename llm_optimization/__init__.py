"""APPLICATIONS: caching, batches and an audited ledger for LangChain models, in one changed line.

    llm = optimize(llm, "anthropic", {"optimizationEnabled": True, "cachingEnabled": True})

Names are imported when they are first asked for: the package itself imports neither LangChain nor a provider's SDK.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from llm_optimization.aimodels import get_generator_model, get_generator_model_async, optimize
    from llm_optimization.anthropic_client import optimize_client
    from llm_optimization.batch_client import AnthropicBatchClient
    from llm_optimization.cache_manager import CacheManager
    from llm_optimization.capabilities import ProviderCapabilities
    from llm_optimization.config import OptimizationConfig
    from llm_optimization.exceptions import (
        BatchIncomplete,
        BatchItemFailed,
        ConfigurationError,
        InputError,
        InvalidOptimizationConfig,
        LedgerError,
        MissingIntegration,
        NotWrappable,
        UnknownModel,
        UnsupportedProvider,
    )
    from llm_optimization.recorded_model import RecordedChatModel
    from llm_optimization.recording import CallRecorder
    from llm_optimization.request_queue import RequestQueue
    from llm_optimization.wrapper import OptimizedLLMWrapper

__all__ = [
    "AnthropicBatchClient",
    "BatchIncomplete",
    "BatchItemFailed",
    "CacheManager",
    "CallRecorder",
    "ConfigurationError",
    "InputError",
    "InvalidOptimizationConfig",
    "LedgerError",
    "MissingIntegration",
    "NotWrappable",
    "OptimizationConfig",
    "OptimizedLLMWrapper",
    "ProviderCapabilities",
    "RecordedChatModel",
    "RequestQueue",
    "UnknownModel",
    "UnsupportedProvider",
    "get_generator_model",
    "get_generator_model_async",
    "optimize",
    "optimize_client",
]

_HOMES: Final = {
    "AnthropicBatchClient": "batch_client",
    "CacheManager": "cache_manager",
    "CallRecorder": "recording",
    "OptimizationConfig": "config",
    "OptimizedLLMWrapper": "wrapper",
    "ProviderCapabilities": "capabilities",
    "RecordedChatModel": "recorded_model",
    "RequestQueue": "request_queue",
    "get_generator_model": "aimodels",
    "get_generator_model_async": "aimodels",
    "optimize": "aimodels",
    "optimize_client": "anthropic_client",
}
"""The modules of the names that are no errors; those are all in `exceptions`."""


def __getattr__(name: str) -> Any:
    if name not in __all__:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    value = getattr(import_module(f"{__name__}.{_HOMES.get(name, 'exceptions')}"), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
