"""What is done with the calls of one wrapped model: settings, and what they lead to, made when first needed."""

from __future__ import annotations

from functools import cached_property
from typing import TYPE_CHECKING, Any

from ledger.clock import Clock, SystemClock
from llm_optimization.capabilities import ProviderCapabilities
from llm_optimization.config import OptimizationConfig
from llm_optimization.recording.calls import FinishedCall
from llm_optimization.wrapping.mishaps import mishap

if TYPE_CHECKING:
    from langchain_core.language_models import BaseChatModel

    from llm_optimization.batch_client import AnthropicBatchClient
    from llm_optimization.cache_manager import CacheManager

__all__ = ["Optimization"]


class Optimization:
    """The one thing that a wrapped model has beyond its base: shared by its copies, equal if its settings are.

    `origin` is the model that was wrapped. `only_records`: prompts are left as they are, and never batched.
    """

    def __init__(
        self,
        provider: str,
        config: OptimizationConfig,
        *,
        only_records: bool = False,
        origin: BaseChatModel | None = None,
        clock: Clock | None = None,
    ) -> None:
        self.provider = provider
        self.config = config
        self.only_records = only_records
        self.origin = origin
        self.clock = clock or SystemClock()
        self.capabilities = ProviderCapabilities.detect(provider)
        changes = config.optimization_enabled and not only_records
        self.marks = changes and config.caches and self.capabilities.cache_markers == "explicit"
        self.batches = changes and config.batches and self.capabilities.batch_driver
        self.changes = changes
        self.records = config.records
        self.active = self.records or changes
        self._batch_client: tuple[BaseChatModel, AnthropicBatchClient] | None = None

    @cached_property
    def cache_manager(self) -> CacheManager:
        """What marks prompts."""
        from llm_optimization.cache_manager import CacheManager

        return CacheManager(self.capabilities, self.config)

    def batch_client(self, model: BaseChatModel) -> AnthropicBatchClient | None:
        """The provider's batch API for bare messages, the same one as long as it is asked for the same model.

        None where there is no driver for it.
        """
        if self.only_records or not self.capabilities.batch_driver:
            return None
        from llm_optimization.batch_client import AnthropicBatchClient

        known = self._batch_client
        if known is None or known[0] is not model:
            client = AnthropicBatchClient(
                self.capabilities, self.config, model=model, cache_manager=self.cache_manager
            )
            known = self._batch_client = (model, client)
        return known[1]

    def record(self, call: FinishedCall) -> None:
        """Record a call as the settings say: behind the answer, or before it. Raises nothing."""
        try:
            recorder = self._recorder()
            if self.config.recording == "sync":
                recorder.record_sync(call)
            else:
                recorder.record(call)
        except Exception as error:
            mishap("calls cannot be recorded", error)

    async def arecord(self, call: FinishedCall) -> None:
        """`record` for an event loop, which goes on meanwhile."""
        try:
            recorder = self._recorder()
            if self.config.recording == "sync":
                await recorder.arecord_sync(call)
            else:
                recorder.record(call)
        except Exception as error:
            mishap("calls cannot be recorded", error)

    def record_behind(self, call: FinishedCall) -> None:
        """Record a call without waiting, whatever the settings say: for calls that nobody waits for any more."""
        try:
            self._recorder().record(call)
        except Exception as error:
            mishap("calls cannot be recorded", error)

    def _recorder(self) -> Any:
        from llm_optimization.recording.recorder import recorder_for

        return recorder_for(self.config)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Optimization) and self._settings == other._settings

    def __hash__(self) -> int:
        return hash((self.provider, self.only_records))

    def __copy__(self) -> Optimization:
        return self

    def __deepcopy__(self, memo: dict[int, Any]) -> Optimization:
        return self

    def __reduce__(self) -> tuple[Any, ...]:
        return _again, self._settings

    def __repr__(self) -> str:
        return f"<Optimization {self.provider}>"

    @property
    def _settings(self) -> tuple[str, OptimizationConfig, bool]:
        return self.provider, self.config, self.only_records


def _again(provider: str, config: OptimizationConfig, only_records: bool) -> Optimization:
    return Optimization(provider, config, only_records=only_records)
