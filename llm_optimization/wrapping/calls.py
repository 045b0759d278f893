"""One call of a wrapped model, from the prompt to the record.

A model's hooks call each other (`_generate` may stream, `_agenerate` may run `_generate` in a thread). The outermost
makes the `Call`, and sets it in a context variable while the base works; the inner ones see it and pass through, and
the taps of Anthropic's model find it there. In a stream it is set for each step only, so that whoever reads it may
call the same model meanwhile.
"""

from __future__ import annotations

import os
from asyncio import CancelledError
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Iterator, Mapping
from contextlib import aclosing, contextmanager
from contextvars import ContextVar, Token
from types import TracebackType
from typing import TYPE_CHECKING, Any, Final, Self

from llm_optimization.recording.calls import CostUnknown, FinishedCall, Outcome
from llm_optimization.recording.unended import begun
from llm_optimization.wrapping.answers import Answer, hear_chunk, hear_result
from llm_optimization.wrapping.anthropic_answers import hear_event, hear_message
from llm_optimization.wrapping.labels import Labels, named
from llm_optimization.wrapping.mishaps import mishap
from llm_optimization.wrapping.outcomes import is_refusal, names_cache_markers, outcome_of
from llm_optimization.wrapping.prompts import marked_messages, model_name, prepared

if TYPE_CHECKING:
    from langchain_core.messages import BaseMessage
    from langchain_core.outputs import ChatGenerationChunk, ChatResult

    from llm_optimization.wrapping.optimization import Optimization

__all__ = ["Attempt", "Call", "astreamed", "attempts", "call_of", "current_call", "streamed"]

# Whoever raises one of these leaves now; a record is not what holds them up.
_WAITS_FOR_NOTHING: Final = (GeneratorExit, CancelledError, KeyboardInterrupt, SystemExit)

_current: ContextVar[Call | None] = ContextVar("llm_ledger_call", default=None)


def call_of(model: Any) -> Call | None:
    """The call that this model (or a copy of it) makes right now, in this context."""
    call = _current.get()
    return call if call is not None and call.optimization is model.optimization else None


def current_call() -> Call | None:
    """The call that is made right now, in this context, whoever makes it."""
    return _current.get()


def attempts(
    model: Any, messages: list[BaseMessage], labels: Labels | None, options: Mapping[str, Any], *, sees_payload: bool
) -> Iterator[Call]:
    """The call to make; then, should the provider refuse our markers in it, the same call without them."""
    first = Call(model, messages, labels, options, marks=True, sees_payload=sees_payload)
    yield first
    if first.repeats:
        yield Call(model, messages, labels, options, marks=False, sees_payload=sees_payload)


def streamed(calls: Iterator[Call], base: Callable[[list[BaseMessage]], Any]) -> Iterator[ChatGenerationChunk]:
    """The answer in pieces, from the first of the calls that gives one."""
    for call in calls:
        yield from call.streamed(base)


async def astreamed(
    calls: Iterator[Call], base: Callable[[list[BaseMessage]], Any]
) -> AsyncIterator[ChatGenerationChunk]:
    """`streamed`, on an event loop."""
    for call in calls:
        async with aclosing(call.astreamed(base)) as chunks:
            async for chunk in chunks:
                yield chunk


class Call:
    """What is known of one call, and what is done about it.

    As a context manager it surrounds a call that returns its answer whole; `streamed` and `astreamed` do so for one
    that comes in pieces. Either way the call is recorded as it ends, however it ends. `messages` are what the base is
    to be called with. `repeats` says, after the end, that the provider refused our markers.
    """

    _open = False

    def __init__(
        self,
        model: Any,
        messages: list[BaseMessage],
        labels: Labels | None,
        options: Mapping[str, Any],
        *,
        marks: bool,
        sees_payload: bool,
    ) -> None:
        self.optimization: Optimization = model.optimization
        self.messages = messages
        self.repeats = False
        self._headers = model.__dict__.get("default_headers")
        self._labels = labels
        self._model = model_name(model, options)
        self._sees_payload = sees_payload
        self._marks = marks and self.optimization.marks
        self._markers = 0
        self._answer = Answer()
        self._params: Mapping[str, Any] | None = None
        self._api_version = ""
        self._sent = not sees_payload  # as far as anybody can tell
        self._error: BaseException | None = None
        self._attempt: Attempt | None = None
        self._earlier: list[FinishedCall] = []
        self._open = True
        self._process = begun(self)
        if self._marks and not sees_payload:
            self.messages = marked_messages(self.optimization, messages, self._model, options)
            self._markers = 1  # or none: a refusal that names them decides

    # --- what the taps of Anthropic's model tell ---

    def prepared(self, payload: dict[str, Any]) -> dict[str, Any]:
        """The payload to send instead."""
        if self._answer.complete or self._error is not None:
            self._conclude()
        made = prepared(self.optimization, payload, self._headers, marks=self._marks)
        self._params, self._markers, self._api_version = made.payload, made.markers, made.api_version
        return made.payload

    @contextmanager
    def sending(self) -> Iterator[None]:
        """From here on it may be billed, unless the SDK finds nothing that it could send."""
        self._sent = True
        try:
            yield
        except TypeError:  # what it says of arguments it does not know, and of a missing credential
            self._sent = False
            raise
        except Exception as error:
            self._error = error
            raise

    def attempt(self) -> Attempt:
        """The SDK sends the request; once more, if it could make nothing of the attempt before."""
        if self._attempt is not None and self._attempt.lost is not None:
            self._earlier.append(self._finished_call(self._attempt.lost))
        self._attempt = Attempt()
        return self._attempt

    def hear_message(self, message: Any) -> None:
        """Anthropic's own message."""
        self._hear(hear_message, message)

    def hear_event(self, event: Any) -> None:
        """An event of Anthropic's own stream."""
        self._hear(hear_event, event)

    # --- what LangChain's model gives ---

    def answered(self, result: ChatResult) -> ChatResult:
        """Hear a whole answer, and hand it on."""
        if not self._answer.complete:
            self._hear(hear_result, result)
        return result

    def streamed(self, base: Callable[[list[BaseMessage]], Any]) -> Iterator[ChatGenerationChunk]:
        """Hear the answer that the base gives in pieces, and hand them on."""
        chunks: Any = None
        try:
            chunks = self._started(base)
            while (chunk := self._next(chunks)) is not None:
                yield chunk
        except BaseException as error:
            if not self._end(error):
                raise
        else:
            self._end(None)
        finally:
            close = getattr(chunks, "close", None)
            if close is not None:
                close()

    async def astreamed(self, base: Callable[[list[BaseMessage]], Any]) -> AsyncGenerator[ChatGenerationChunk]:
        """`streamed`, on an event loop."""
        chunks: Any = None
        try:
            chunks = self._started(base)
            while (chunk := await self._anext(chunks)) is not None:
                yield chunk
        except BaseException as error:
            if not await self._aend(error):
                raise
        else:
            await self._aend(None)
        finally:
            close = getattr(chunks, "aclose", None)
            if close is not None:
                await close()

    def __enter__(self) -> Self:
        self._token: Token[Call | None] = _current.set(self)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> bool:
        _current.reset(self._token)
        return self._end(error)

    async def __aenter__(self) -> Self:
        return self.__enter__()

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> bool:
        _current.reset(self._token)
        return await self._aend(error)

    def __del__(self) -> None:
        # A stream that was dropped, and whose event loop is gone.
        if self._open:
            self.leave()

    def leave(self) -> None:
        """Nobody will hear the rest of it any more."""
        if self._sent:
            for call in self._finished(GeneratorExit()):
                self.optimization.record_behind(call)

    def _started(self, base: Callable[[list[BaseMessage]], Any]) -> Any:
        token = _current.set(self)
        try:
            return base(self.messages)
        finally:
            _current.reset(token)

    def _next(self, chunks: Iterator[ChatGenerationChunk]) -> ChatGenerationChunk | None:
        token = _current.set(self)
        try:
            chunk = next(chunks, None)
        finally:
            _current.reset(token)
        return self._heard(chunk)

    async def _anext(self, chunks: AsyncIterator[ChatGenerationChunk]) -> ChatGenerationChunk | None:
        token = _current.set(self)
        try:
            chunk = await anext(chunks, None)
        finally:
            _current.reset(token)
        return self._heard(chunk)

    def _heard(self, chunk: ChatGenerationChunk | None) -> ChatGenerationChunk | None:
        if chunk is None:
            self._answer.complete = self._answer.complete or not self._sees_payload
        elif not self._sees_payload:
            self._hear(hear_chunk, chunk)
        return chunk

    def _hear(self, listen: Callable[[Answer, Any], None], told: Any) -> None:
        try:
            listen(self._answer, told)
        except Exception as error:
            mishap("an answer cannot be read", error)

    def _end(self, error: BaseException | None) -> bool:
        """Record how it ended. True if the error is dealt with, since the call is to be made again."""
        for call in self._finished(error):
            if isinstance(error, _WAITS_FOR_NOTHING):
                self.optimization.record_behind(call)
            else:
                self.optimization.record(call)
        return self.repeats

    async def _aend(self, error: BaseException | None) -> bool:
        for call in self._finished(error):
            if isinstance(error, _WAITS_FOR_NOTHING):
                self.optimization.record_behind(call)
            else:
                await self.optimization.arecord(call)
        return self.repeats

    def _finished(self, error: BaseException | None) -> list[FinishedCall]:
        """The records of the call, which is over now. None if it was over before, or is another process's."""
        if not self._open or self._process != os.getpid():
            return []
        self._open = False
        if error is not None and self._markers and not self._answer.began and names_cache_markers(error):
            self.repeats = True
            mishap("the provider refuses the cache markers", error)
        if not self.optimization.records:
            return []
        return [*self._earlier, self._finished_call(self._outcome(error))] if self._sent else self._earlier

    def _conclude(self) -> None:
        """Somebody's own hook asks a second time within its call: what was answered before is a record of its own."""
        self._earlier.append(self._finished_call(self._outcome(self._error)))
        self._answer, self._error, self._attempt, self._sent = Answer(), None, None, False

    def _outcome(self, error: BaseException | None) -> Outcome:
        if self._answer.complete:
            return self._answer.outcome(self._model)
        if error is None:  # cut at the end of a line, which no client notices
            return CostUnknown("the answer ended without saying what it cost")
        return outcome_of(error, began=self._answer.began)

    def _finished_call(self, outcome: Outcome) -> FinishedCall:
        key, tags = named(self._labels, self.optimization.config)
        return FinishedCall(
            provider=self.optimization.capabilities.provider,
            model=self._model,
            outcome=outcome,
            finished_at=self.optimization.clock.now(),
            params=self._params,
            messages=None if self._params is not None else self.messages,
            api_version=self._api_version,
            tags=tags,
            key=key,
        )


class Attempt:
    """One attempt of the SDK's. `lost`: it may have been answered and billed, and nobody saw the answer."""

    __slots__ = ("lost",)

    def __init__(self) -> None:
        self.lost: CostUnknown | None = None

    def answered(self, status: int) -> None:
        """The head of an answer is in."""
        if status >= 400 and not is_refusal(status):
            self.lost = CostUnknown(f"the provider answered with status {status}, and the SDK asked again")

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if error is not None and isinstance(outcome := outcome_of(error), CostUnknown):
            self.lost = CostUnknown(f"{outcome.reason}; the SDK asked again")
