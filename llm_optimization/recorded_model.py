"""A chat model whose calls are recorded, and which is the model that it was made from in every other way."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator, Mapping
from typing import TYPE_CHECKING, Any, ClassVar, cast

from langchain_core.language_models import BaseChatModel
from pydantic import Field

from llm_optimization.config import OptimizationConfig
from llm_optimization.wrapping.calls import Call, astreamed, attempts, call_of, streamed
from llm_optimization.wrapping.classes import FIELD, bare, origin_of, recreated, unmanaged, wrapped
from llm_optimization.wrapping.labels import aunder, labelled, labels_for, present_labels, under
from llm_optimization.wrapping.optimization import Optimization
from llm_optimization.wrapping.taps import AnthropicTaps

if TYPE_CHECKING:
    from langchain_core.messages import AIMessageChunk, BaseMessage
    from langchain_core.outputs import ChatGenerationChunk, ChatResult

__all__ = ["RecordedChatModel"]

_OURS = ("base_model", "provider", "config", "capabilities", "cache_manager", "batch_client")


class RecordedChatModel(BaseChatModel):
    """Records every call of `base_model` in the ledger: `RecordedChatModel(ChatOpenAI(...), "openai", settings)`.

    What comes back is an instance of the base's class, too, on the base's state. It answers, streams, binds, copies
    and serialises as the base does. Beyond that it has `base_model`, and `provider`, `config`, `capabilities`,
    `cache_manager` and `batch_client` where the base has no attribute of that name.

    `config` is an `OptimizationConfig` or a host's mapping; `InvalidOptimizationConfig` if it is unusable,
    `NotWrappable` for what is no chat model. A model that is wrapped already gets these settings instead of its own.
    """

    _RECORDS_ONLY: ClassVar[bool] = True

    optimization: Any = Field(default=None, exclude=True, repr=False)

    def __new__(
        cls, base_model: BaseChatModel, provider: str, config: Mapping[str, Any] | OptimizationConfig | None = None
    ) -> RecordedChatModel:
        base = bare(base_model) if isinstance(base_model, RecordedChatModel) else base_model
        settings = OptimizationConfig.from_dict(config)
        made = wrapped(cls, base, Optimization(provider, settings, only_records=cls._RECORDS_ONLY, origin=base))
        return cast("RecordedChatModel", made)

    def __init__(
        self, base_model: BaseChatModel, provider: str, config: Mapping[str, Any] | OptimizationConfig | None = None
    ) -> None:
        """Nothing: `__new__` gave the state of the base. Generated classes have one that takes the base's fields."""

    @property
    def _llm_type(self) -> str:
        return super()._llm_type  # type: ignore[safe-super]

    @property
    def _identifying_params(self) -> Mapping[str, Any]:
        return super()._identifying_params

    if not TYPE_CHECKING:  # or every misspelt attribute would pass for one of these

        def __getattr__(self, name: str) -> Any:
            if name in _OURS and (optimization := self.__dict__.get(FIELD)) is not None:
                if name == "base_model":
                    return bare(self)
                return (
                    optimization.batch_client(bare(self)) if name == "batch_client" else getattr(optimization, name)
                )
            return super().__getattr__(name)

    def __eq__(self, other: object) -> bool:
        """As the base compares; two that are wrapped need the same settings, too."""
        if isinstance(other, RecordedChatModel):
            return self.optimization == other.optimization and bare(self) == bare(other)
        return bare(self) == other

    def __reduce_ex__(self, protocol: Any) -> str | tuple[Any, ...]:
        if "__made_of__" not in vars(type(self)):  # somebody's own class, derived from one of these
            return super().__reduce_ex__(protocol)
        return recreated, origin_of(type(self)), self.__getstate__()

    def stream(self, input: Any, config: Any = None, **kwargs: Any) -> Iterator[AIMessageChunk]:  # noqa: A002
        """As the base. `_stream` is not told of the call's metadata, so its labels are taken here."""
        labels = labels_for(config, self.metadata)
        chunks = super().stream(input, config, **kwargs)
        return chunks if labels is None else under(labels, chunks)

    def astream(
        self,
        input: Any,  # noqa: A002
        config: Any = None,
        **kwargs: Any,
    ) -> AsyncIterator[AIMessageChunk]:
        """`stream`, on an event loop."""
        labels = labels_for(config, self.metadata)
        chunks = super().astream(input, config, **kwargs)
        return chunks if labels is None else aunder(labels, chunks)

    def _generate_with_cache(
        self, messages: list[BaseMessage], stop: list[str] | None = None, run_manager: Any = None, **kwargs: Any
    ) -> ChatResult:
        with labelled(run_manager):  # it may stream, and not hand the run on
            return super()._generate_with_cache(messages, stop=stop, run_manager=run_manager, **kwargs)

    async def _agenerate_with_cache(
        self, messages: list[BaseMessage], stop: list[str] | None = None, run_manager: Any = None, **kwargs: Any
    ) -> ChatResult:
        with labelled(run_manager):
            return await super()._agenerate_with_cache(messages, stop=stop, run_manager=run_manager, **kwargs)

    def _generate(
        self, messages: list[BaseMessage], stop: list[str] | None = None, run_manager: Any = None, **kwargs: Any
    ) -> ChatResult:
        options = self._options("_generate", run_manager, kwargs)
        if self._passes_through():
            return super()._generate(messages, stop=stop, **options)  # type: ignore[safe-super]
        for call in self._attempts(messages, options):
            with call:
                return call.answered(super()._generate(call.messages, stop=stop, **options))  # type: ignore[safe-super]
        raise AssertionError("an attempt returns, raises or is repeated")

    async def _agenerate(
        self, messages: list[BaseMessage], stop: list[str] | None = None, run_manager: Any = None, **kwargs: Any
    ) -> ChatResult:
        options = self._options("_agenerate", run_manager, kwargs)
        if self._passes_through():
            return await super()._agenerate(messages, stop=stop, **options)
        for call in self._attempts(messages, options):
            async with call:
                return call.answered(await super()._agenerate(call.messages, stop=stop, **options))
        raise AssertionError("an attempt returns, raises or is repeated")

    def _stream(
        self, messages: list[BaseMessage], stop: list[str] | None = None, run_manager: Any = None, **kwargs: Any
    ) -> Iterator[ChatGenerationChunk]:
        options = self._options("_stream", run_manager, kwargs)
        base = super()._stream
        if self._passes_through():
            return base(messages, stop=stop, **options)
        return streamed(self._attempts(messages, options), lambda prompt: base(prompt, stop=stop, **options))

    def _astream(
        self, messages: list[BaseMessage], stop: list[str] | None = None, run_manager: Any = None, **kwargs: Any
    ) -> AsyncIterator[ChatGenerationChunk]:
        options = self._options("_astream", run_manager, kwargs)
        base = super()._astream
        if self._passes_through():
            return base(messages, stop=stop, **options)
        return astreamed(self._attempts(messages, options), lambda prompt: base(prompt, stop=stop, **options))

    def _passes_through(self) -> bool:
        """Whether a hook has nothing to do: optimisation is off, or it is called within a call of its own."""
        optimization = self.optimization
        return optimization is None or not optimization.active or call_of(self) is not None

    def _attempts(self, messages: list[BaseMessage], options: Mapping[str, Any]) -> Iterator[Call]:
        labels = present_labels(options.get("run_manager"))
        return attempts(self, messages, labels, options, sees_payload=isinstance(self, AnthropicTaps))

    def _options(self, hook: str, run_manager: Any, kwargs: dict[str, Any]) -> dict[str, Any]:
        """What the base's hook takes beyond messages and stop."""
        if run_manager is not None and hook not in unmanaged(type(self)):
            kwargs["run_manager"] = run_manager
        return kwargs
