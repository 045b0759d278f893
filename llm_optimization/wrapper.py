"""The wrapper of the checklist: one changed line gives an application caching, batching and an audited ledger."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from contextlib import nullcontext
from functools import partial
from typing import TYPE_CHECKING, Any, ClassVar, Final

from llm_optimization.batching.params import message_of
from llm_optimization.exceptions import BatchItemFailed
from llm_optimization.recorded_model import RecordedChatModel
from llm_optimization.recording import storable
from llm_optimization.wrapping.labels import labels_in, named
from llm_optimization.wrapping.mishaps import mishap
from llm_optimization.wrapping.prompts import item_of
from llm_optimization.wrapping.taps import AnthropicTaps
from llm_optimization.wrapping.together import all_together, batch_key, in_own_loop, ready_engine, seat_of

if TYPE_CHECKING:
    from langchain_core.language_models import BaseChatModel
    from langchain_core.messages import BaseMessage
    from langchain_core.outputs import ChatResult

    from llm_optimization.batching import Outcome
    from llm_optimization.config import OptimizationConfig

__all__ = ["OptimizedLLMWrapper"]

# How a request may end in a batch and be worth a standard call: the provider will not answer it there any more.
_WORTH_A_CALL: Final = ("errored", "expired", "abandoned")


class OptimizedLLMWrapper(RecordedChatModel):
    """Marks prompts for the cache, sends `batch` and `abatch` to the batch API, and records every call.

        llm = OptimizedLLMWrapper(ChatAnthropic(...), "anthropic", OptimizationConfig(optimization_enabled=True))

    Each of it as far as the settings switch it on and the provider has it. An error of ours is logged once, and the
    call goes on as the base's own would; an error of the provider's is raised as the base raises it. `invoke`,
    `ainvoke` and streams never wait for a batch.

    In a batch, inputs that fail are called as the base calls them (`fallback_to_standard`), and raise what that
    raises; without it, `BatchItemFailed`. What may still be answered out of a batch is never called a second time:
    then the ledger's own errors are raised, and the same inputs under the same `llm_ledger_key` find their answers.
    What may have been answered and paid for, though nobody has the answer, is a `BatchItemFailed` in any case.
    """

    _RECORDS_ONLY: ClassVar[bool] = False

    if TYPE_CHECKING:  # or type checkers would expect the fields of a model, by pydantic's rules

        def __init__(
            self,
            base_model: BaseChatModel,
            provider: str,
            config: Mapping[str, Any] | OptimizationConfig | None = None,
        ) -> None: ...

    async def abatch(
        self, inputs: Sequence[Any], config: Any = None, *, return_exceptions: bool = False, **kwargs: Any
    ) -> list[Any]:
        """The answers to all inputs, in their order: in one batch, if batching is on."""
        inputs = list(inputs)
        if not self._batches(inputs):
            return await super().abatch(inputs, config, return_exceptions=return_exceptions, **kwargs)
        key = batch_key(self, config, len(inputs))
        try:
            engine = await asyncio.to_thread(ready_engine, self)
        except Exception as error:
            self._go_on_without(error, key)
            return await self._retry_individually(inputs, config, return_exceptions=return_exceptions, **kwargs)
        return await all_together(
            self, engine, inputs, config, key, return_exceptions=return_exceptions, in_thread=False, options=kwargs
        )

    def batch(
        self, inputs: Sequence[Any], config: Any = None, *, return_exceptions: bool = False, **kwargs: Any
    ) -> list[Any]:
        """`abatch`, from code without an event loop, or with one that must not wait."""
        inputs = list(inputs)
        if not self._batches(inputs):
            return super().batch(inputs, config, return_exceptions=return_exceptions, **kwargs)
        key = batch_key(self, config, len(inputs))
        try:
            engine = ready_engine(self)
        except Exception as error:
            self._go_on_without(error, key)
            return super().batch(inputs, config, return_exceptions=return_exceptions, **kwargs)
        return in_own_loop(
            all_together(
                self, engine, inputs, config, key, return_exceptions=return_exceptions, in_thread=True, options=kwargs
            )
        )

    async def _retry_individually(
        self, messages_list: Sequence[Any], config: Any = None, *, return_exceptions: bool = True, **kwargs: Any
    ) -> list[Any]:
        """Call each input by itself, as the base does; an input that fails has its error in its place."""
        return await super().abatch(list(messages_list), config, return_exceptions=return_exceptions, **kwargs)

    async def _agenerate(
        self, messages: list[BaseMessage], stop: list[str] | None = None, run_manager: Any = None, **kwargs: Any
    ) -> ChatResult:
        seat = seat_of(self)
        if seat is None:
            return await super()._agenerate(messages, stop=stop, run_manager=run_manager, **kwargs)
        tapped: Any = self
        payload = tapped._get_request_payload(messages, stop=stop, **kwargs)  # noqa: SLF001 - as the base does
        _, tags = named(labels_in(getattr(run_manager, "metadata", None)), self.optimization.config)
        outcome = await seat.put(item_of(self.optimization, payload), storable.tags(tags))
        if outcome.message is not None:
            answer = message_of(outcome.message, beta="betas" in payload)
            result: ChatResult = tapped._format_output(answer, **kwargs)  # noqa: SLF001 - as the base does
            return result
        failure = outcome.failure or BatchItemFailed(outcome.custom_id, outcome.status)
        if not self.optimization.config.fallback_to_standard or not _worth_a_call(outcome):
            raise failure
        mishap("requests of a batch failed, and are made as standard calls", failure)
        async with seat.limit or nullcontext():
            if not seat.in_thread:
                return await super()._agenerate(messages, stop=stop, run_manager=run_manager, **kwargs)
            manager = run_manager and run_manager.get_sync()
            call = partial(super()._generate, messages, stop=stop, run_manager=manager, **kwargs)
            return await asyncio.to_thread(call)

    def _should_stream(self, **kwargs: Any) -> bool:
        """As the base; what has a seat in a batch does not come in pieces."""
        return seat_of(self) is None and super()._should_stream(**kwargs)

    def _should_use_protocol_streaming(self, **kwargs: Any) -> bool:
        return seat_of(self) is None and super()._should_use_protocol_streaming(**kwargs)

    def _batches(self, inputs: Sequence[Any]) -> bool:
        optimization = self.optimization
        return bool(inputs) and optimization is not None and optimization.batches and isinstance(self, AnthropicTaps)

    def _go_on_without(self, error: Exception, key: str | None) -> None:
        """Log what keeps batches from being made. Raises it where standard calls are not wanted instead.

        So it does under a key of the caller's: what was sent under it before may have been answered.
        """
        if key is not None or not self.optimization.config.fallback_to_standard:
            raise error
        mishap("batches cannot be made, their requests are standard calls", error)


def _worth_a_call(outcome: Outcome) -> bool:
    return outcome.status in _WORTH_A_CALL and not outcome.may_be_paid
