"""Anthropic's Message Batches for an application: inputs go in, their answers come out in the same order.

    client = AnthropicBatchClient(ProviderCapabilities.detect("anthropic"), config, model=llm)
    replies = await client.process_batch(prompts, key="summaries-2026-11-22")

What was submitted is in the ledger. A process that dies is no loss: with the same key the next one finds the answers
that are there, goes on waiting for the others, and pays for nothing twice.
"""

from __future__ import annotations

import asyncio
from collections import Counter, OrderedDict
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, Final

from ledger.errors import UnknownId
from llm_optimization.batching import Engine, account_settings, engine_for, fresh_key
from llm_optimization.batching.jobs import Job
from llm_optimization.batching.outcomes import Outcome
from llm_optimization.batching.translation import Translator
from llm_optimization.cache_manager import CacheManager
from llm_optimization.exceptions import BatchIncomplete, BatchItemFailed, UnsupportedProvider
from scheduler.providers import names

if TYPE_CHECKING:
    from llm_optimization.capabilities import ProviderCapabilities
    from llm_optimization.config import OptimizationConfig

__all__ = ["AnthropicBatchClient"]

_REMEMBERED: Final = 100
"""Jobs whose inputs a client can still tell apart; of an older one it knows what the ledger does."""


class AnthropicBatchClient:
    """Batches of one application. Safe to share between tasks and threads.

    An input is a list of LangChain's messages, a text, a prompt value, a list of dicts with a role, or a mapping of
    the Messages API's own params, which needs no LangChain and is answered with the provider's own message. `model`
    is a `ChatAnthropic`, or a binding of one: its key, address, headers, proxy and settings are used. Without one
    the environment's account and the configuration's `model` and `max_tokens` are.

    Under one `key` a request is made once, however often it is asked for; where the same one stands several times in
    a list, it is made so many times. What fails by itself is worth a `BatchItemFailed`; where waiting is senseless
    (no key, refused, unreachable for ten minutes, beyond the budget), the ledger's own errors are raised. A request
    that fails in passing is repeated in further batches, up to 3 attempts.
    """

    def __init__(
        self,
        capabilities: ProviderCapabilities,
        config: OptimizationConfig,
        *,
        model: Any = None,
        cache_manager: CacheManager | None = None,
    ) -> None:
        """Connects to nothing. Raises `UnsupportedProvider` for one whose batches cannot be made here.

        Raises `ConfigurationError` for headers or a proxy of the model that batches cannot have.
        """
        if not capabilities.batch_driver:
            raise UnsupportedProvider(capabilities.provider, names())
        self._translator = Translator(model, config, cache_manager or CacheManager(capabilities, config))
        account = account_settings(self._translator.model) if model is not None else None
        self._engine: Engine = engine_for(account, config)
        self._config = config
        self._jobs: OrderedDict[str, Job] = OrderedDict()

    async def process_batch(
        self,
        messages_list: Sequence[Any],
        *,
        key: str | None = None,
        tags: Mapping[str, str] | None = None,
        return_exceptions: bool = False,
    ) -> list[Any]:
        """Submit these inputs and wait for their answers, in their order.

        An input that fails gives a `BatchItemFailed`: in its place with `return_exceptions`, else the first is raised
        once all the others have ended. Without a key a fresh one is made, and named in the log.
        """
        if not messages_list:
            return []
        await asyncio.to_thread(self._engine.check)
        key = key or fresh_key()
        job = await asyncio.to_thread(self._recorded, messages_list, key, tags)
        outcomes = await self._engine.await_outcomes(key, job.awaited)
        return await asyncio.to_thread(self._replies, job, outcomes, return_exceptions=return_exceptions)

    async def submit_batch(
        self, messages_list: Sequence[Any], *, key: str | None = None, tags: Mapping[str, str] | None = None
    ) -> str:
        """Put these inputs on record, and return the key under which their answers will be found.

        They are sent while somebody waits for them, here or in a process that runs `llm-ledger run`. No key of the
        provider is needed for this.
        """
        key = key or fresh_key()
        self._jobs[key] = await asyncio.to_thread(self._recorded, messages_list, key, tags)
        self._jobs.move_to_end(key)
        if len(self._jobs) > _REMEMBERED:
            self._jobs.popitem(last=False)
        return key

    async def poll_until_complete(self, batch_id: str, *, timeout: float | None = None) -> dict[str, int]:
        """Work until every request under that key has ended: how many, by how they ended.

        The provider is asked ever more rarely, as `LLM_LEDGER_POLL_MIN_SECONDS` and `…_MAX_SECONDS` say. Raises
        `BatchIncomplete` after `timeout` seconds, with nothing lost.
        """
        job = await asyncio.to_thread(self._job, batch_id)
        outcomes = await self._engine.await_outcomes(batch_id, job.awaited, timeout=timeout)
        return dict(Counter(outcome.status for outcome in {**outcomes, **job.refused}.values()))

    async def get_results(self, batch_id: str, *, return_exceptions: bool = True) -> list[Any]:
        """The answers under that key, in the order of what this client submitted last under it.

        In another process: of all that is on record under it, in that order; invalid inputs are not. Raises
        `BatchIncomplete` while something is missing.
        """
        job = await asyncio.to_thread(self._job, batch_id)
        outcomes = await asyncio.to_thread(self._engine.outcomes, batch_id, job.awaited)
        if pending := [outcome.custom_id for outcome in outcomes.values() if outcome.status == "pending"]:
            raise BatchIncomplete(batch_id, pending)
        return await asyncio.to_thread(self._replies, job, outcomes, return_exceptions=return_exceptions)

    def _format_messages(self, messages_list: Sequence[Any]) -> list[dict[str, Any]]:
        """The params of each input. Raises `InvalidRequest` for what is none."""
        return [self._translator.params(item) for item in messages_list]

    def _recorded(self, messages_list: Sequence[Any], key: str, tags: Mapping[str, str] | None) -> Job:
        job = Job.of(messages_list, self._translator)
        refused = self._engine.submit_valid(job.lines, key=key, tags={**self._config.tags, **(tags or {})})
        return job.without(refused)

    def _job(self, key: str) -> Job:
        """What was submitted under the key, as far as it is known. Raises `UnknownId` if nothing was."""
        if (job := self._jobs.get(key)) is not None:
            return job
        custom_ids = self._engine.custom_ids(key)
        if not custom_ids:
            raise UnknownId(key, "nothing was submitted under that key")
        return Job.on_record(custom_ids, raw=not self._translator.speaks)

    def _replies(self, job: Job, outcomes: Mapping[str, Outcome], *, return_exceptions: bool) -> list[Any]:
        replies = job.replies(outcomes, self._translator)
        if not return_exceptions and (failed := [one for one in replies if isinstance(one, BatchItemFailed)]):
            raise failed[0]
        return replies
