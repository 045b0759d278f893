"""What an application may set. docs/configuration.md has each setting with what it does."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, fields, replace
from typing import Any, Literal

from llm_optimization.spellings import SETTINGS, given, refuse_problems

__all__ = ["OptimizationConfig"]


@dataclass(frozen=True, slots=True)
class OptimizationConfig:
    """The settings of one model. Everything is off until `optimization_enabled` is on: nothing is marked, batched or
    recorded then.

    A batch is made of `batch_max_size` requests, or after `batch_timeout` seconds. `cache_ttl` is in seconds.
    `fallback_to_standard`: where a batch cannot answer, a standard call may. `recording` is done `behind` the answer,
    or before it is handed over (`sync`). `database_url` is where the ledger lives, by default at
    `LLM_LEDGER_DATABASE_URL`; `key` is the namespace of recorded calls, and `tags` are theirs. `model` and
    `max_tokens` are for batches of bare messages.

    >>> entry = {"optimizationEnabled": True, "cachingEnabled": "true", "cacheTTL": "1h", "apiKey": "is ignored"}
    >>> config = OptimizationConfig.from_dict(entry)
    >>> config.caches, config.cache_ttl
    (True, 3600)
    """

    optimization_enabled: bool = False
    batching_enabled: bool = False
    batch_max_size: int = 10_000
    batch_timeout: int = 30
    caching_enabled: bool = False
    cache_ttl: int = 300
    cache_breakpoints: Literal["auto", "manual", "none"] = "auto"
    fallback_to_standard: bool = True
    recording: Literal["behind", "sync", "off"] = "behind"
    database_url: str | None = field(default=None, repr=False)  # it may hold a password
    key: str = "calls"
    tags: Mapping[str, str] = field(default_factory=dict, hash=False)
    model: str | None = None
    max_tokens: int = 4_096

    @classmethod
    def from_dict(cls, source: Mapping[str, Any] | OptimizationConfig | None) -> OptimizationConfig:
        """The settings in a host's entry, valid ones. Raises `InvalidOptimizationConfig`.

        The entry is flat, or nests its settings in `configuration`; of a setting in both places the nested one
        counts, since that is where the host's own factory looks. camelCase and snake_case are the same, null and
        empty text mean the default, and what else the entry holds is ignored. A config is checked and given back.
        """
        if isinstance(source, OptimizationConfig):
            source.validate()
            return source
        said = given({} if source is None else source)
        config = cls(**{name: SETTINGS[name].read(value) for name, (_, value) in said.items()})
        refuse_problems(config, {name: spelling for name, (spelling, _) in said.items()})
        return config

    @classmethod
    def check_names(cls, overrides: Iterable[str]) -> None:
        """Raises `TypeError` for a name that is no field, as Python does for an argument that a function lacks."""
        known = [each.name for each in fields(cls)]
        if unknown := sorted(set(overrides) - set(known)):
            raise TypeError(f"there is no setting {', '.join(unknown)}; there are {', '.join(known)}")

    @classmethod
    def wished(
        cls, source: Mapping[str, Any] | OptimizationConfig | None, overrides: Mapping[str, Any]
    ) -> OptimizationConfig:
        """The settings of somebody who asks for optimisation; `overrides` (by field) win over a host's entry.

        An entry that does not say `optimizationEnabled` is off. Without an entry, or with overrides, asking is the
        wish, and only an explicit false keeps it off. Raises what `from_dict` does.
        """
        if isinstance(source, OptimizationConfig) or (source is not None and not overrides):
            said = cls.from_dict(source)
        else:
            entry = source or {}
            nested = entry if "configuration" in entry else {"configuration": entry}
            said = cls.from_dict({"optimizationEnabled": True, **nested})
        enabled = said.optimization_enabled and overrides.get("optimization_enabled", True)
        return cls.from_dict(replace(said, **{**overrides, "optimization_enabled": enabled}))

    def validate(self) -> None:
        """Raises `InvalidOptimizationConfig`, which names every problem."""
        refuse_problems(self)

    @property
    def caches(self) -> bool:
        """Whether prompts are marked for the cache."""
        return self.optimization_enabled and self.caching_enabled

    @property
    def batches(self) -> bool:
        """Whether `batch` and `abatch` go to the provider's batch API."""
        return self.optimization_enabled and self.batching_enabled

    @property
    def records(self) -> bool:
        """Whether calls are recorded."""
        return self.optimization_enabled and self.recording != "off"
