"""What each provider offers, and what of it is used here.

Figures marked [?] are as the provider's documentation had them in November 2026, and not confirmed by a run.
"""

from __future__ import annotations

from dataclasses import dataclass
from decimal import Decimal
from typing import Final, Literal

from scheduler import providers
from scheduler.providers.anthropic.limits import LIMITS, NAME, cacheable_minimum

__all__ = ["CacheMarkers", "ProviderCapabilities"]

CacheMarkers = Literal["explicit", "automatic", "none"]

_HALF: Final = Decimal("0.5")
_AUTOMATIC_MINIMUM: Final = 1_024
_AUTOMATIC_WITH_MINIMUM: Final = ("openai", "azure_openai")


@dataclass(frozen=True, slots=True)
class ProviderCapabilities:
    """What one provider offers.

    `provider` is its canonical name. `supports_batching` and `supports_caching` say whether it counts as optimisable;
    whatever any provider reports about cached tokens is recorded all the same. `cache_markers`: breakpoints are set
    by the caller (`explicit`), by the provider (`automatic`), or there is nothing to set (`none`).

    A batch holds at most `batch_max_requests` requests and `batch_max_bytes` bytes; None is "no bound is known".
    `batch_discount` is the share of the standard price that a batch saves. `batch_driver` and `cache_driver` say
    whether batches can be made and markers be set here; providers without a driver are called as ever.

    >>> ProviderCapabilities.detect("Anthropic").cache_markers
    'explicit'
    """

    provider: str
    supports_batching: bool = False
    supports_caching: bool = False
    cache_markers: CacheMarkers = "none"
    batch_max_requests: int | None = None
    batch_max_bytes: int | None = None
    batch_discount: Decimal | None = None
    batch_driver: bool = False
    cache_driver: bool = False

    @staticmethod
    def detect(provider: str | None) -> ProviderCapabilities:
        """The capabilities behind a provider's name, in any of its usual spellings. Raises nothing.

        An unknown name, None or an empty one means a provider that is not optimised, under its own lower case.

        >>> ProviderCapabilities.detect("azureOpenAI") == ProviderCapabilities.detect("azure-openai")
        True
        >>> ProviderCapabilities.detect("ollama").optimizable
        False
        >>> ProviderCapabilities.detect("Somebody New")
        ProviderCapabilities(provider='somebody new', ...)
        """
        name = provider.strip().lower() if isinstance(provider, str) else ""
        return _KNOWN.get(_ALIASES.get(_squeezed(name), "")) or ProviderCapabilities(name)

    def min_cacheable_tokens(self, model: str | None) -> int | None:
        """Tokens that a prompt's prefix needs at least to be cached; None where that is not known.

        >>> ProviderCapabilities.detect("anthropic").min_cacheable_tokens("claude-opus-4-7")
        2048
        >>> ProviderCapabilities.detect("openai").min_cacheable_tokens("gpt-5")
        1024
        """
        if self.provider == NAME:
            return cacheable_minimum(model) if model else None
        return _AUTOMATIC_MINIMUM if self.provider in _AUTOMATIC_WITH_MINIMUM else None

    @property
    def optimizable(self) -> bool:
        """Whether there is anything to optimise.

        >>> ProviderCapabilities.detect("gemini").optimizable
        True
        """
        return self.supports_batching or self.supports_caching


def _squeezed(name: str) -> str:
    """The letters and digits of a name: `Azure OpenAI`, `azure_openai` and `azure-openai` are one."""
    return "".join(filter(str.isalnum, name))


def _optimizable(
    provider: str, cache_markers: CacheMarkers, max_requests: int | None = None, max_bytes: int | None = None
) -> ProviderCapabilities:
    return ProviderCapabilities(
        provider,
        supports_batching=True,
        supports_caching=True,
        cache_markers=cache_markers,
        batch_max_requests=max_requests,
        batch_max_bytes=max_bytes,
        batch_discount=_HALF,
        batch_driver=provider in providers.names(),
        cache_driver=provider == NAME,
    )


_KNOWN: Final = {
    capabilities.provider: capabilities
    for capabilities in (
        _optimizable(NAME, "explicit", LIMITS.max_items, LIMITS.max_bytes),
        _optimizable("openai", "automatic", 50_000, 200_000_000),  # [?] both
        _optimizable("azure_openai", "automatic", 100_000, 200_000_000),  # [?] both
        _optimizable("gemini", "automatic", None, 2_000_000_000),
        _optimizable(
            "vertex_ai", "automatic", 200_000
        ),  # [?]; a cached token of a batch gets the cache's discount only
        _optimizable("bedrock", "explicit"),  # [?] the discount; through Claude, marked with `cachePoint`
        # Behind each of these stands any server or model: what it takes is not known, so nothing is assumed.
        *map(ProviderCapabilities, ("openai_compatible", "azure_ai", "litellm_proxy", "lm_studio", "openrouter")),
        *map(
            ProviderCapabilities, ("cohere", "fireworks", "groq", "minimax", "mistral", "ollama", "together", "xai")
        ),
    )
}

_SPELLINGS: Final = {
    "anthropic": ("claude",),
    "azure_openai": ("azure",),
    "bedrock": ("aws bedrock", "amazon bedrock", "bedrock converse"),
    "fireworks": ("fireworks ai",),
    "gemini": ("google", "google gemini", "google genai"),
    "litellm_proxy": ("litellm",),
    "mistral": ("mistral ai",),
    "together": ("together ai",),
    "vertex_ai": ("vertex", "google vertex", "google vertex ai"),
    "xai": ("grok",),
}

_ALIASES: Final = {
    _squeezed(spelling): provider for provider in _KNOWN for spelling in (provider, *_SPELLINGS.get(provider, ()))
}
