"""Requests that arrive one by one, each with somebody who waits for it, and go out together."""

from __future__ import annotations

import asyncio
import logging
import threading
import time
from collections.abc import Mapping
from concurrent.futures import Future
from functools import partial
from typing import Any, Final, NamedTuple

from ledger.errors import InvalidRequest
from ledger.ids import IdFactory
from llm_optimization.batching.engine import Engine
from llm_optimization.batching.lines import Line, Names
from llm_optimization.batching.outcomes import Outcome
from llm_optimization.batching.params import item_params

__all__ = ["BatchSession", "fresh_key"]

_log = logging.getLogger(__name__)

PATIENCE_SECONDS: Final = 1.0
"""If nobody comes for so long, those who are there go ahead: whoever is missing may be waiting for one of them."""


def fresh_key() -> str:
    """A key that nobody has used, in the log for who wants to find the requests under it again."""
    key = str(IdFactory().new())
    _log.info("batch requests go under key %s; ask for them again with that key", key)
    return key


class _Arrival(NamedTuple):
    line: Line
    future: Future[Outcome]


class BatchSession:
    """Submits what `total` callers put into it as soon as each of them has put something, or withdrawn. Thread-safe.

    `key` is a fresh one unless it is given. Where nobody comes for a second, those who are there are submitted
    without the others, so that callers who come one after the other wait for nobody in vain.
    """

    def __init__(
        self,
        engine: Engine,
        total: int,
        *,
        key: str | None = None,
        tags: Mapping[str, str] | None = None,
        patience_seconds: float = PATIENCE_SECONDS,
    ) -> None:
        self.key = key or fresh_key()
        self._engine = engine
        self._tags = dict(tags or {})
        self._patience = patience_seconds
        self._change = threading.Condition()
        self._missing = total
        self._names = Names()
        self._arrived: list[_Arrival] = []
        self._patient_until = 0.0
        self._gathers = False

    async def put(self, params: Mapping[str, Any], *, tags: Mapping[str, str] | None = None) -> Outcome:
        """The outcome of these params, once there is one; invalid params have one at once.

        They may be the whole payload of a standard call (see `item_params`). Raises the ledger's own errors where
        nothing comes of waiting (see `Engine.expect`). What is canceled before it was submitted is not submitted.
        """
        return await asyncio.wrap_future(self.hand_in(params, tags=tags))

    def hand_in(self, params: Mapping[str, Any], *, tags: Mapping[str, str] | None = None) -> Future[Outcome]:
        """The same for callers without an event loop: a future that is bound to none."""
        future: Future[Outcome] = Future()
        with self._change:
            try:
                line = self._names.line(item_params(params, self._engine.betas), tags)
            except InvalidRequest as error:
                future.set_result(Outcome("unreadable", "errored", None, "invalid_request_error", str(error)))
            else:
                self._arrived.append(_Arrival(line, future))
            self._one_less()
        return future

    def withdraw(self) -> None:
        """One of the callers will put nothing."""
        with self._change:
            self._one_less()

    def _one_less(self) -> None:
        self._missing -= 1
        self._patient_until = time.monotonic() + self._patience
        if self._missing <= 0:
            self._change.notify_all()
        if self._arrived and not self._gathers:
            # By a thread in any case: neither an event loop nor who withdraws is to wait for a database.
            self._gathers = True
            try:
                threading.Thread(target=self._gather, name="llm-ledger session").start()
            except Exception as error:  # nobody else would tell those who wait
                _fail({each.line.custom_id: each.future for each in self._taken()}, error)

    def _gather(self) -> None:
        with self._change:
            while self._missing > 0 and (left := self._patient_until - time.monotonic()) > 0:
                self._change.wait(left)
            arrived = self._taken()
        self._submit(arrived)

    def _taken(self) -> list[_Arrival]:
        arrived, self._arrived = self._arrived, []
        self._gathers = False
        return arrived

    def _submit(self, arrived: list[_Arrival]) -> None:
        arrived = [each for each in arrived if not each.future.cancelled()]
        waiting = {each.line.custom_id: each.future for each in arrived}
        if not arrived:
            return
        try:
            self._engine.check()
            refused = self._engine.submit_valid([each.line for each in arrived], key=self.key, tags=self._tags)
            _settle(waiting, refused)
            if waiting:
                self._expect(waiting)
        except Exception as error:
            _fail(waiting, error)

    def _expect(self, waiting: dict[str, Future[Outcome]]) -> None:
        """Work until they have ended, or nobody waits for any of them."""
        ended = self._engine.expect(self.key, list(waiting))
        patient = set(waiting)

        def one_left(custom_id: str, future: Future[Outcome]) -> None:
            if future.cancelled():
                patient.discard(custom_id)
                if not patient:
                    ended.cancel()

        for custom_id, future in list(waiting.items()):
            future.add_done_callback(partial(one_left, custom_id))
        ended.add_done_callback(lambda ended: self._hand_over(ended, waiting))

    def _hand_over(self, ended: Future[None], waiting: dict[str, Future[Outcome]]) -> None:
        if ended.cancelled():
            return
        try:
            ended.result()
            _settle(waiting, self._engine.outcomes(self.key, list(waiting)))
        except Exception as error:
            _fail(waiting, error)


def _settle(waiting: dict[str, Future[Outcome]], outcomes: Mapping[str, Outcome]) -> None:
    for custom_id, outcome in outcomes.items():
        future = waiting.pop(custom_id)
        if future.set_running_or_notify_cancel():
            future.set_result(outcome)


def _fail(waiting: dict[str, Future[Outcome]], error: BaseException) -> None:
    for future in waiting.values():
        if future.set_running_or_notify_cancel():
            future.set_exception(error)
