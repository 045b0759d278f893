"""A chat model whose calls are recorded, and which is the model that it was made from in every other way."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator, Mapping
from contextlib import aclosing
from typing import TYPE_CHECKING, Any

from langchain_core.language_models import BaseChatModel
from pydantic import Field

from llm_optimization.config import OptimizationConfig
from llm_optimization.wrapping.calls import attempts, call_of
from llm_optimization.wrapping.classes import bare, base_class, recreated, wrapped
from llm_optimization.wrapping.labels import aunder, labels_in, present_labels, under
from llm_optimization.wrapping.optimization import Optimization
from llm_optimization.wrapping.taps import AnthropicTaps

if TYPE_CHECKING:
    from langchain_core.messages import AIMessageChunk, BaseMessage
    from langchain_core.outputs import ChatGenerationChunk, ChatResult

__all__ = ["RecordedChatModel"]

_OURS = ("provider", "config", "capabilities", "cache_manager", "batch_client")


class RecordedChatModel(BaseChatModel):
    """Records every call of `base_model` in the ledger: `RecordedChatModel(ChatOpenAI(...), "openai", settings)`.

    What comes back is an instance of the base's class, too, on the base's state. It answers, streams, binds, copies
    and serialises as the base does. Beyond that it has `base_model`, and `provider`, `config`, `capabilities`,
    `cache_manager` and `batch_client` where the base has no attribute of that name.

    `config` is an `OptimizationConfig` or a host's mapping; `InvalidOptimizationConfig` if it is unusable,
    `NotWrappable` for what is no chat model. A model that is wrapped already gets these settings instead of its own.
    """

    optimization: Any = Field(default=None, exclude=True, repr=False)

    def __new__(
        cls, base_model: BaseChatModel, provider: str, config: Mapping[str, Any] | OptimizationConfig | None = None
    ) -> RecordedChatModel:
        base = bare(base_model) if isinstance(base_model, RecordedChatModel) else base_model
        settings = OptimizationConfig.from_dict(config)
        return wrapped(cls, base, Optimization(provider, settings, only_records=cls._only_records(), origin=base))

    def __init__(
        self, base_model: BaseChatModel, provider: str, config: Mapping[str, Any] | OptimizationConfig | None = None
    ) -> None:
        """Nothing: `__new__` gave the state of the base. Generated classes have one that takes the base's fields."""

    @classmethod
    def _only_records(cls) -> bool:
        return True

    @property
    def base_model(self) -> BaseChatModel:
        return bare(self)

    def _generate(
        self, messages: list[BaseMessage], stop: list[str] | None = None, run_manager: Any = None, **kwargs: Any
    ) -> ChatResult:
        if not self._is_call():
            return super()._generate(messages, stop=stop, run_manager=run_manager, **kwargs)
        for call in self._attempts(messages, run_manager, kwargs):
            with call:
                return call.answered(
                    super()._generate(call.messages, stop=stop, run_manager=run_manager, **kwargs)
                )
        raise AssertionError("an attempt returns, raises, or is repeated")

    async def _agenerate(
        self, messages: list[BaseMessage], stop: list[str] | None = None, run_manager: Any = None, **kwargs: Any
    ) -> ChatResult:
        if not self._is_call():
            return await super()._agenerate(messages, stop=stop, run_manager=run_manager, **kwargs)
        for call in self._attempts(messages, run_manager, kwargs):
            async with call:
                return call.answered(
                    await super()._agenerate(call.messages, stop=stop, run_manager=run_manager, **kwargs)
                )
        raise AssertionError("an attempt returns, raises, or is repeated")

    def _stream(
        self, messages: list[BaseMessage], stop: list[str] | None = None, run_manager: Any = None, **kwargs: Any
    ) -> Iterator[ChatGenerationChunk]:
        if not self._is_call():
            yield from super()._stream(messages, stop=stop, run_manager=run_manager, **kwargs)
            return
        for call in self._attempts(messages, run_manager, kwargs):
            yield from call.streamed(super()._stream(call.messages, stop=stop, run_manager=run_manager, **kwargs))

    async def _astream(
        self, messages: list[BaseMessage], stop: list[str] | None = None, run_manager: Any = None, **kwargs: Any
    ) -> AsyncIterator[ChatGenerationChunk]:
        if not self._is_call():
            async with aclosing(super()._astream(messages, stop=stop, run_manager=run_manager, **kwargs)) as chunks:
                async for chunk in chunks:
                    yield chunk
            return
        for call in self._attempts(messages, run_manager, kwargs):
            stream = super()._astream(call.messages, stop=stop, run_manager=run_manager, **kwargs)
            async with aclosing(call.astreamed(stream)) as chunks:
                async for chunk in chunks:
                    yield chunk
