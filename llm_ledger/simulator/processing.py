"""Working through batches as their items fall due, a bite at a time, so that other requests are served too."""

from __future__ import annotations

import asyncio
import logging
from typing import Any

import msgspec

from llm_ledger.simulator.batch import Batch, BatchItem, Kind
from llm_ledger.simulator.batches import Batches
from llm_ledger.simulator.chance import fraction, identifier
from llm_ledger.simulator.clock import VirtualClock
from llm_ledger.simulator.config import SimulatorConfig
from llm_ledger.simulator.errors import ApiError, error_body
from llm_ledger.simulator.inference import Inference, Occasion
from llm_ledger.simulator.outcomes import ACCIDENTS, Accidents
from llm_ledger.simulator.validation import check

__all__ = ["Processing"]

_BITE = 100
_log = logging.getLogger(__name__)


class Processing:
    """Brings every batch up to the present instant; nothing happens in a batch unless somebody looks."""

    def __init__(
        self,
        config: SimulatorConfig,
        clock: VirtualClock,
        batches: Batches,
        inference: Inference,
        accidents: Accidents,
    ) -> None:
        self._config = config
        self._clock = clock
        self._batches = batches
        self._inference = inference
        self._accidents = accidents
        self._task: asyncio.Task[None] | None = None

    async def catch_up(self, patience: float | None) -> None:
        """Work on all items that are due. Returns after `patience` real seconds (None: when all is done);
        the work goes on behind."""
        if self._task is None or self._task.done():
            if not self._behind():
                return
            self._task = asyncio.create_task(self._work())
        await asyncio.wait({self._task}, timeout=patience)

    def stop(self) -> None:
        """Give up the work that goes on behind."""
        if self._task is not None:
            self._task.cancel()

    def _behind(self) -> bool:
        now = self._clock.now()
        return any(batch.done < batch.due(now) or now >= batch.ends for batch in self._batches.unsettled)

    async def _work(self) -> None:
        while self._behind():
            for batch in list(self._batches.unsettled):
                while self._bite(batch):
                    await asyncio.sleep(0)
                if batch.settled:
                    self._batches.unsettled.remove(batch)

    def _bite(self, batch: Batch) -> bool:
        """Work on some due items of a batch; False when none is left for now."""
        now = self._clock.now()
        due = batch.due(now)
        for item in batch.items[batch.done : min(batch.done + _BITE, due)]:
            batch.record(*self._answer(batch, batch.done, item))
            batch.done += 1
        if batch.done < due:
            return True
        if now >= batch.ends:
            _close(batch)
        return False

    def _answer(self, batch: Batch, index: int, item: BatchItem) -> tuple[Kind, bytes]:
        try:
            return self._infer(batch, index, item)
        except ApiError as error:
            return "errored", _error_line(item.custom_id, error)
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
            return "errored", _error_line(item.custom_id, ApiError(400, "params: not valid JSON"))
        except Exception:
            # One item that breaks the simulator must not keep its batch from ending.
            _log.exception("item %s of %s", item.custom_id, batch.id)
            return "errored", _error_line(item.custom_id, ApiError(500, "Internal server error"))

    def _infer(self, batch: Batch, index: int, item: BatchItem) -> tuple[Kind, bytes]:
        params = msgspec.json.decode(item.params)
        request = check(params, version=batch.version, endpoint="batches")
        accident = self._accidents.of_item(batch.account, item.custom_id, params, item.digest)
        if accident == "expired":
            return "expired", _line(item.custom_id, {"type": "expired"})
        refusal = ACCIDENTS[accident] if accident else None
        if refusal is not None:
            return "errored", _error_line(item.custom_id, refusal)
        chance = fraction(self._config.seed, "cache", batch.id, index)
        occasion = Occasion(
            account=batch.account,
            message_id=identifier("msg", self._config.seed, batch.id, index),
            at=batch.start_of(index),
            priced_at=batch.created,
            batch=batch.id,
            may_read=chance < self._config.batch_cache_hit_rate,
        )
        message = self._inference.answer(request, occasion)
        return "succeeded", _line(item.custom_id, {"type": "succeeded", "message": message})


def _close(batch: Batch) -> None:
    """Give the items that were not reached the outcome that stopped them."""
    kind: Kind = "expired" if batch.canceled_at is None else "canceled"
    for custom_id in batch.custom_ids[batch.done :]:
        batch.record(kind, _line(custom_id, {"type": kind}))
    batch.release()


def _line(custom_id: str, result: dict[str, Any]) -> bytes:
    return msgspec.json.encode({"custom_id": custom_id, "result": result}) + b"\n"


def _error_line(custom_id: str, error: ApiError) -> bytes:
    return _line(custom_id, {"type": "errored", "error": error_body(error.kind, error.message, None)})
