"""The inputs of one `abatch`, each on the ordinary way of a call, and all in one batch.

Every input runs through `ainvoke`, so that callbacks, traces, LangChain's cache and the conversion of inputs are as
ever. It has a seat in the session, known to its own task alone; where the model would send its payload, the seat
takes it, and waits for the answer out of the batch. An input that needs no answer (it was cached, it was no prompt)
leaves its seat empty, and the others need not wait for it.
"""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine, Mapping, Sequence
from concurrent.futures import Future
from contextlib import suppress
from contextvars import ContextVar, copy_context
from threading import Thread
from typing import TYPE_CHECKING, Any, TypeVar

from langchain_core.runnables.config import get_config_list

from ledger.errors import InputError
from llm_optimization.wrapping.labels import KEY, labels_for

if TYPE_CHECKING:
    from llm_optimization.batching import BatchSession, Engine, Outcome

__all__ = ["Seat", "all_together", "in_own_loop", "ready_engine", "seat_of"]

_Result = TypeVar("_Result")

_seat: ContextVar[Seat | None] = ContextVar("llm_ledger_seat", default=None)


class Seat:
    """One input's place in a session. `in_thread`: what is called as a standard call is called in a thread."""

    def __init__(
        self, optimization: Any, session: BatchSession, limit: asyncio.Semaphore | None, *, in_thread: bool
    ) -> None:
        self.optimization = optimization
        self.in_thread = in_thread
        self.limit = limit
        self._session = session
        self._taken = False

    @property
    def taken(self) -> bool:
        """Whether its input is on its way, or will not come."""
        return self._taken

    async def put(self, params: Mapping[str, Any], tags: Mapping[str, str] | None) -> Outcome:
        """The outcome of these params, in the batch. See `BatchSession.put`."""
        self._taken = True
        return await self._session.put(params, tags=tags)

    def leave(self) -> None:
        """Nobody has to wait for this one (any more)."""
        if not self._taken:
            self._taken = True
            self._session.withdraw()


def seat_of(model: Any) -> Seat | None:
    """The seat that waits for this model's payload, in this task."""
    seat = _seat.get()
    return seat if seat is not None and not seat.taken and seat.optimization is model.optimization else None


def ready_engine(model: Any) -> Engine:
    """The engine for this model's account, its key and ledger seen to be usable; no network but the ledger's.

    Raises the ledger's own errors. Nothing is put on record then.
    """
    from llm_optimization.batching import account_settings, engine_for

    engine = engine_for(account_settings(model), model.optimization.config)
    engine.check()
    engine.ledger().close()
    return engine


def batch_key(model: Any, config: Any, count: int) -> str | None:
    """The key that the caller wants the inputs recorded under; None if none is said.

    Raises `InputError` where inputs are to have several: a batch has one.
    """
    labels = [labels_for(one, model.metadata) or {} for one in get_config_list(config, count)]
    keys = {str(each[KEY]) for each in labels if each.get(KEY)}
    if len(keys) > 1:
        raise InputError(
            f"the inputs of one batch have one {KEY}; call it once for each of {', '.join(sorted(keys))}"
        )
    return keys.pop() if keys else None


async def all_together(
    model: Any,
    engine: Engine,
    inputs: Sequence[Any],
    config: Any,
    key: str | None,
    *,
    return_exceptions: bool,
    in_thread: bool,
    options: Mapping[str, Any],
) -> list[Any]:
    """The answers to all inputs, in their order. Without `return_exceptions` the first error is raised at the end.

    Nobody waits for somebody else to have ended, so `max_concurrency` bounds only what becomes a standard call.
    """
    from llm_optimization.batching import BatchSession

    configs = get_config_list(config, len(inputs))
    session = BatchSession(engine, len(inputs), key=key, tags=model.optimization.config.tags)
    most = configs[0].get("max_concurrency")
    limit = asyncio.Semaphore(most) if most else None

    async def one(value: Any, its_config: Any) -> Any:
        seat = Seat(model.optimization, session, limit, in_thread=in_thread)
        _seat.set(seat)  # in the task of this input
        try:
            return await model.ainvoke(value, its_config, **options)
        finally:
            seat.leave()

    tasks = (one(value, its_config) for value, its_config in zip(inputs, configs, strict=True))
    answers = await asyncio.gather(*tasks, return_exceptions=True)
    for answer in answers:
        if isinstance(answer, BaseException) and not (return_exceptions and isinstance(answer, Exception)):
            raise answer
    return answers


def in_own_loop(work: Coroutine[Any, Any, _Result]) -> _Result:
    """What the work comes to, on an event loop in a thread of its own, in a copy of this context.

    Interrupting the caller cancels the work.
    """
    outcome: Future[_Result] = Future()
    under_way: list[tuple[asyncio.AbstractEventLoop, asyncio.Task[Any]]] = []

    async def noted() -> _Result:
        task = asyncio.current_task()
        assert task is not None
        under_way.append((asyncio.get_running_loop(), task))
        if outcome.set_running_or_notify_cancel():
            return await work
        work.close()
        raise asyncio.CancelledError

    def run() -> None:
        try:
            outcome.set_result(asyncio.run(noted()))
        except BaseException as error:
            if not outcome.cancelled():
                outcome.set_exception(error)

    thread = Thread(target=copy_context().run, args=(run,), name="llm-ledger abatch")
    try:
        thread.start()
        return outcome.result()
    finally:
        if not outcome.done() and not outcome.cancel():
            for loop, task in under_way:
                with suppress(RuntimeError):  # it ended a moment ago, and its loop with it
                    loop.call_soon_threadsafe(task.cancel)
        if thread.is_alive():
            thread.join()
