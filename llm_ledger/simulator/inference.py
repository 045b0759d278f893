"""One request in, one message out: reads and writes the cache, composes the answer, charges the bill."""

from __future__ import annotations

from typing import Any, Literal

import msgspec

from llm_ledger.simulator.answers import Answer, compose
from llm_ledger.simulator.bill import Bill, Line
from llm_ledger.simulator.cache import PromptCache, Split
from llm_ledger.simulator.catalogue import Model
from llm_ledger.simulator.clock import SECOND
from llm_ledger.simulator.config import SimulatorConfig
from llm_ledger.simulator.iterations import Iteration, further_iterations
from llm_ledger.simulator.prices import Usage, cost
from llm_ledger.simulator.validation import Request

__all__ = ["Inference", "Occasion"]


class Occasion(msgspec.Struct, frozen=True, kw_only=True):
    """Under which circumstances a request is answered.

    `batch` is the id of its batch, None for a call; `at` the instant it starts, `priced_at` the instant whose
    prices apply; `may_read` is False where a batch item is denied the cache.
    """

    account: str
    message_id: str
    at: int
    priced_at: int
    batch: str | None = None
    may_read: bool = True

    @property
    def tier(self) -> Literal["standard", "batch"]:
        return "batch" if self.batch else "standard"


class Inference:
    """The simulated model with its cache and the bill it runs up."""

    def __init__(self, config: SimulatorConfig) -> None:
        self._seed = config.seed
        self._minimums = config.cache_minimums
        self._first_token = int(config.first_token_seconds * SECOND)
        self.cache = PromptCache()
        self.bill = Bill()

    def answer(self, request: Request, occasion: Occasion) -> dict[str, Any]:
        """The message for a checked request, in the provider's shape. It is charged when this returns."""
        model = request.model
        split = self.cache.use(
            (occasion.account, model.id),
            request.prompt,
            minimum=self._minimums.get(model.id, model.cache_minimum),
            at=occasion.at,
            readable_at=occasion.at if occasion.batch else occasion.at + self._first_token,
            may_read=occasion.may_read,
        )
        answer = compose(request, self._seed)
        usage = _usage(split, answer, request)
        further = further_iterations(request, usage)
        geo = str(request.params.get("inference_geo") or "global")
        self._charge(occasion, model, usage, geo, answers=1)
        for iteration in further:
            self._charge(occasion, iteration.model, iteration.usage, geo, answers=0)
        return {
            "id": occasion.message_id,
            "type": "message",
            "role": "assistant",
            "model": model.id,
            "content": answer.content,
            "stop_reason": answer.stop_reason,
            "stop_sequence": answer.stop_sequence,
            "usage": {**_show(usage, occasion.tier, geo), **_show_iterations(usage, further)},
        }

    def _charge(self, occasion: Occasion, model: Model, usage: Usage, geo: str, *, answers: int) -> None:
        price = cost(model, usage, at=occasion.priced_at, batch=occasion.batch is not None, geo=geo)
        line = Line(occasion.account, model.id, occasion.batch)
        self.bill.charge(line, usage, price, answers=answers)


def _usage(split: Split, answer: Answer, request: Request) -> Usage:
    searches = any(str(tool.get("type", "")).startswith("web_search") for tool in request.params.get("tools") or ())
    return Usage(
        uncached=split.uncached,
        write_5m=split.write_5m,
        write_1h=split.write_1h,
        read=split.read,
        output=answer.tokens,
        web_searches=int(searches),
    )


def _show(usage: Usage, tier: str, geo: str) -> dict[str, Any]:
    searches = {"web_search_requests": usage.web_searches, "web_fetch_requests": 0}
    return {
        **_show_tokens(usage),
        "server_tool_use": searches if usage.web_searches else None,
        "service_tier": tier,
        "inference_geo": geo,
    }


def _show_tokens(usage: Usage) -> dict[str, Any]:
    return {
        "input_tokens": usage.uncached,
        "cache_creation_input_tokens": usage.write_5m + usage.write_1h,
        "cache_read_input_tokens": usage.read,
        "cache_creation": {
            "ephemeral_5m_input_tokens": usage.write_5m,
            "ephemeral_1h_input_tokens": usage.write_1h,
        },
        "output_tokens": usage.output,
    }


def _show_iterations(usage: Usage, further: list[Iteration]) -> dict[str, Any]:
    if not further:
        return {}
    entries = [
        {
            "type": iteration.kind,
            **({"model": iteration.model.id} if iteration.kind == "advisor_message" else {}),
            **_show_tokens(iteration.usage),
        }
        for iteration in further
    ]
    return {"iterations": [*entries, {"type": "message", **_show_tokens(usage)}]}
