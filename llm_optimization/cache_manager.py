"""Breakpoints for the provider's prompt cache, set where they pay.

What is marked and why stands in `caching.placement`; docs/caching.md has it with examples and measurements.
"""

from __future__ import annotations

import threading
from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import msgspec

from llm_optimization.caching.params import Marked, mark_params
from llm_optimization.caching.plan import Policy

if TYPE_CHECKING:
    from llm_optimization.capabilities import ProviderCapabilities
    from llm_optimization.config import OptimizationConfig

__all__ = ["CacheCounts", "CacheManager", "Marked"]

_HOUR = 3_600


class CacheCounts(msgspec.Struct, frozen=True):
    """Prompts that got a breakpoint, those too short for their model's cache, and those left as they were."""

    marked: int = 0
    below_minimum: int = 0
    left_alone: int = 0


class CacheManager:
    """Marks prompts for the cache of a provider that takes explicit breakpoints; other prompts pass untouched.

    One serves any number of threads, and prompts of several models.
    """

    def __init__(self, capabilities: ProviderCapabilities, config: OptimizationConfig) -> None:
        self._capabilities = capabilities
        self._config = config
        self._active = config.caches and capabilities.cache_driver and capabilities.cache_markers == "explicit"
        self._counts = {"marked": 0, "below_minimum": 0, "left_alone": 0}
        self._counting = threading.Lock()

    @property
    def counts(self) -> CacheCounts:
        """What became of the prompts so far."""
        with self._counting:
            return CacheCounts(**self._counts)

    def mark_params(self, params: Mapping[str, Any]) -> Marked:
        """Params of the Messages API with breakpoints, as new params; nothing given is changed.

        Raises nothing: params of a wrong shape come back as they are, since judging them is the provider's part.
        """
        made = mark_params(params, self._policy(params.get("model"))) if self._active else Marked(params)
        self._count(made.markers, below_minimum=made.below_minimum)
        return made

    def add_cache_markers(
        self, messages: Iterable[Any], *, model: str | None = None, tools: Sequence[Any] | None = None
    ) -> list[Any]:
        """The messages (of LangChain, or dicts with a role) with breakpoints in their content blocks.

        A new list; the messages in it are the given ones, or copies where something was marked. `model` tells the
        minimum that can be cached, `tools` what stands before the messages. Raises `InputError` for what is no
        message at all.
        """
        given = list(messages)
        if not self._active:
            self._count(0)
            return given
        return self._add_anthropic_cache_markers(given, model=model, tools=tools)

    def _add_anthropic_cache_markers(
        self, messages: Sequence[Any], *, model: str | None = None, tools: Sequence[Any] | None = None
    ) -> list[Any]:
        from llm_optimization.caching.messages import mark_messages

        made, decided = mark_messages(messages, self._policy(model), tools or ())
        self._count(decided.markers, below_minimum=decided.below_minimum)
        return made

    def _should_cache_message(self, msg: Any, index: int, total: int) -> bool:
        """Whether a message, by itself, is worth a breakpoint: a system prompt, the first user message, a long one.

        `index` of `total` messages: the first user message stands first, or right after a system prompt.
        """
        from llm_optimization.caching.messages import is_worth_caching

        return is_worth_caching(msg, index, total)

    def _policy(self, model: object) -> Policy:
        minimum = self._capabilities.min_cacheable_tokens(model) if isinstance(model, str) else None
        return Policy(self._config.cache_breakpoints, "1h" if self._config.cache_ttl == _HOUR else "5m", minimum)

    def _count(self, markers: int, *, below_minimum: bool = False) -> None:
        outcome = "marked" if markers else "below_minimum" if below_minimum else "left_alone"
        with self._counting:
            self._counts[outcome] += 1
