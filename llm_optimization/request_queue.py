"""Requests now, answers later: for pipelines that do not wait.

    queue = RequestQueue("nightly-2026-11-22", model="claude-haiku-4-5")
    queue.submit(prompts)                      # on record, nothing is sent yet

    queue.run()                                # here, or `llm-ledger run` anywhere
    for result in queue.collect(): ...         # in this process or any other one

It is what `llm-ledger submit` and `llm-ledger results` do, with the same ledger and the same keys.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from decimal import Decimal
from typing import TYPE_CHECKING, Any

import msgspec

from ledger.errors import InputError, InvalidLine, InvalidRequest
from ledger.pricing import usd_text
from ledger.queries import requests
from llm_optimization.batching import Line, Names, account_settings, engine_for
from llm_optimization.batching.outcomes import Outcome, outcomes_of
from llm_optimization.batching.translation import Translator
from llm_optimization.cache_manager import CacheManager
from llm_optimization.capabilities import ProviderCapabilities
from llm_optimization.config import OptimizationConfig
from llm_optimization.exceptions import BatchItemFailed
from scheduler.intake import check_key

if TYPE_CHECKING:
    from ledger.results import Result
    from scheduler import Submission

__all__ = ["QueuedResult", "RequestQueue"]


class QueuedResult(msgspec.Struct, frozen=True):
    """How one request stands: succeeded, errored, expired, canceled, abandoned or pending.

    `message` is the answer, LangChain's where the queue has a model, else the provider's own. `error` says why there
    is none. `cost` is in USD, exact; None where nothing was billed or the price is not known.
    """

    custom_id: str
    key: str
    status: str
    message: Any = None
    error: BatchItemFailed | None = None
    cost: Decimal | None = None


class RequestQueue:
    """The requests under one key. Safe to share between threads; keeps nothing but the key itself.

    `model` is a `ChatAnthropic`, a binding of one, or a model's name; for mappings of the API's own params none is
    needed. `config` says where the ledger lives and how prompts are marked and batched; it is optional.
    """

    def __init__(
        self,
        key: str = "default",
        *,
        model: Any = None,
        config: OptimizationConfig | Mapping[str, Any] | None = None,
        tags: Mapping[str, str] | None = None,
    ) -> None:
        """Connects to nothing. Raises `ConfigurationError` or `InputError` for what cannot be used."""
        self.key = check_key(key)
        chosen = OptimizationConfig.from_dict(config)
        if isinstance(model, str):
            chosen, model = replace(chosen, model=model), None
        self._tags = {**chosen.tags, **(tags or {})}
        cache = CacheManager(ProviderCapabilities.detect("anthropic"), chosen)
        self._translator = Translator(model, chosen, cache)
        self._engine = engine_for(account_settings(self._translator.model) if model is not None else None, chosen)

    def submit(
        self,
        items: Iterable[Any],
        custom_ids: Sequence[str] | None = None,
        tags: Mapping[str, str] | None = None,
    ) -> Submission:
        """Put these inputs on record, all of them or none; nothing is sent, and no key of the provider is needed.

        Inputs are those of `AnthropicBatchClient`. Without `custom_ids` they are named by what they say, so that the
        same list again adds nothing. Raises `InvalidLine` with the number of an invalid input, from 1, and
        `ChangedRequest` for a custom id that is on record with another input.
        """
        return self._engine.submit(self._lines(items, custom_ids), key=self.key, tags={**self._tags, **(tags or {})})

    async def asubmit(
        self,
        items: Iterable[Any],
        custom_ids: Sequence[str] | None = None,
        tags: Mapping[str, str] | None = None,
    ) -> Submission:
        """`submit`, beside the event loop."""
        return await asyncio.to_thread(self.submit, items, custom_ids, tags)

    def run(self, *, timeout: float | None = None) -> None:
        """Work until every request under the key has ended, as `llm-ledger run --until-idle` does for all keys.

        Raises `BatchIncomplete` after `timeout` seconds, with nothing lost, and the ledger's own errors where going
        on is senseless: no key, refused, unreachable, beyond the budget.
        """
        self._engine.work(self.key, self._engine.custom_ids(self.key), timeout=timeout)

    async def arun(self, *, timeout: float | None = None) -> None:
        """`run`, beside the event loop."""
        custom_ids = await asyncio.to_thread(self._engine.custom_ids, self.key)
        await self._engine.await_end(self.key, custom_ids, timeout=timeout)

    def collect(self, *, wait: bool = False, timeout: float | None = None) -> Iterator[QueuedResult]:
        """All requests under the key, in the order in which they were submitted, as they stand now; in pages.

        With `wait` they are worked on until all have ended: see `run`. Without it nothing is, and no key is needed.
        """
        if wait:
            self.run(timeout=timeout)
        return self._results()

    async def acollect(self, *, wait: bool = False, timeout: float | None = None) -> list[QueuedResult]:
        """`collect`, beside the event loop, and as a list."""
        if wait:
            await self.arun(timeout=timeout)
        return await asyncio.to_thread(lambda: list(self._results()))

    def _lines(self, items: Iterable[Any], custom_ids: Sequence[str] | None) -> list[Line]:
        names = Names()
        lines: list[Line] = []
        for number, item in enumerate(items, start=1):
            try:
                lines.append(names.line(self._translator.params(item)))
            except InvalidRequest as error:
                raise InvalidLine(number, str(error)) from error
        if custom_ids is None:
            return lines
        if len(custom_ids) != len(lines):
            raise InputError(f"here are {len(lines)} inputs and {len(custom_ids)} custom ids; give one for each")
        return [Line(custom_id, line.params) for custom_id, line in zip(custom_ids, lines, strict=True)]

    def _results(self) -> Iterator[QueuedResult]:
        with self._engine.ledger() as ledger:
            for result, outcome in outcomes_of(ledger, requests(ledger, key=self.key, mode="batch")):
                yield self._result(result, outcome)

    def _result(self, result: Result, outcome: Outcome) -> QueuedResult:
        message: Any = outcome.message
        if message is not None and self._translator.speaks:
            message = self._translator.reply(message, beta=outcome.beta)
        cost = Decimal(usd_text(result.cost.figures.actual)) if result.cost.complete else None
        error = None if outcome.status == "pending" else outcome.failure
        return QueuedResult(outcome.custom_id, self.key, outcome.status, message, error, cost)
