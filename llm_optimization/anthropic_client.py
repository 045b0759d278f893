"""For code without LangChain: the plain anthropic client, its calls marked for the cache and recorded.

    client = optimize_client(anthropic.Anthropic(), caching_enabled=True)

Everything that creates a message is: `messages.create` and `messages.stream`, those of `beta.messages`, their raw
and streaming responses. Each HTTP attempt is recorded by itself, those included that the SDK repeats: a reply that
was lost before a retry is told as cost unknown. What is not touched: token counting, models, files, and batches made
with this client; those are `AnthropicBatchClient`'s.

One call's tags and key: `extra_headers={"x-llm-ledger-tags": "team=search,app=x", "x-llm-ledger-key": "nightly"}`.
"""

from __future__ import annotations

import logging
from collections.abc import Mapping
from typing import Any, TypeVar

from llm_optimization.config import OptimizationConfig
from llm_optimization.exceptions import NotWrappable
from llm_optimization.patches import patched

__all__ = ["optimize_client"]

_log = logging.getLogger(__name__)
_Client = TypeVar("_Client")


def optimize_client(
    client: _Client, configuration: Mapping[str, Any] | OptimizationConfig | None = None, **overrides: Any
) -> _Client:
    """A client of the same class with the same settings and connections, whose calls are marked and recorded.

    `client` is an `anthropic.Anthropic` or `AsyncAnthropic`. `configuration` is a host's entry, flat or nested, or an
    `OptimizationConfig`; `overrides` are fields of the latter. An entry that does not say `optimizationEnabled` is
    off. Without an entry, or with overrides, the call itself is the wish, and only an explicit false keeps it off.

    Where it is off, for clients of other clouds (Bedrock, Vertex, Foundry …), and for one whose methods somebody has
    replaced, the very same client is given back; whatever keeps a client from being optimised is logged.
    `TypeError` for an override that is no setting.
    """
    OptimizationConfig.check_names(overrides)
    try:
        settings = OptimizationConfig.wished(configuration, overrides)
        if not (settings.records or settings.caches):
            return client
        observed: _Client = _observed(client, settings)
    except Exception as error:  # whatever it is, the application has a client that works
        _log.warning("optimisation is off, the client stays as it is: %s: %s", type(error).__name__, error)
        return client
    return observed


def _observed(client: Any, settings: OptimizationConfig) -> Any:
    from anthropic import Anthropic, AsyncAnthropic

    from llm_optimization.client_transport.http_clients import observing
    from llm_optimization.wrapping.optimization import Optimization

    kind = type(client)
    if not isinstance(client, Anthropic | AsyncAnthropic) or any(
        base.__module__.startswith("anthropic.lib.") for base in kind.__mro__
    ):
        raise NotWrappable(kind.__name__, "calls are recorded for anthropic.Anthropic and AsyncAnthropic")
    if (replaced := patched(client)) is not None:
        raise NotWrappable(kind.__name__, f"its {replaced} was replaced; optimise it first, then replace that")
    inner = client._client  # noqa: SLF001 - the SDK takes an HTTP client, and has no name for the one it has
    http_client = observing(inner, Optimization("anthropic", settings))
    return client.with_options(http_client=http_client)
