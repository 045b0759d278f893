"""The simulated provider itself: everything that changes while it runs, apart from how it is reached."""

from __future__ import annotations

import time
from datetime import UTC, datetime
from functools import partial
from typing import Any

from llm_ledger.simulator.batch import Batch, BatchItem
from llm_ledger.simulator.batches import Batches
from llm_ledger.simulator.chance import identifier
from llm_ledger.simulator.clock import SECOND, VirtualClock, instant
from llm_ledger.simulator.config import SimulatorConfig
from llm_ledger.simulator.fault_lottery import draw
from llm_ledger.simulator.faults import Faults
from llm_ledger.simulator.inference import Inference
from llm_ledger.simulator.outcomes import Accidents
from llm_ledger.simulator.processing import Processing
from llm_ledger.simulator.repeated_work import LateEffects

__all__ = ["Provider"]


class Provider:
    """Clock, cache, bill, batches, accidents and faults of one simulated provider."""

    def __init__(self, config: SimulatorConfig) -> None:
        self.config = config
        self._begin()

    def reset(self) -> None:
        """Forget everything and begin again as at the start."""
        self.processing.stop()
        self._begin()

    def _begin(self) -> None:
        config = self.config
        self.clock = VirtualClock(
            start=instant(config.start or datetime.now(UTC)), scale=config.time_scale, ticks=time.monotonic_ns
        )
        self.inference = Inference(config)
        self.accidents = Accidents(config.seed, config.accidents)
        self.faults = Faults()
        self.late = LateEffects(self.clock)
        self._creates: list[dict[str, Any]] = []
        self.batches = Batches(visible_after=int(config.visible_after_seconds * SECOND))
        self.processing = Processing(config, self.clock, self.batches, self.inference, self.accidents)
        self._counts: dict[str, int] = {}
        if config.fault_rate:
            self.leave_to_chance(config.fault_rate, config.seed if config.fault_seed is None else config.fault_seed)

    def leave_to_chance(self, rate: float, seed: int) -> None:
        """Let requests without a fault on order go wrong with this chance."""
        self.faults.lottery = partial(draw, seed, rate)

    def new_id(self, prefix: str) -> str:
        """The next id of a kind: `msg`, `req`, `msgbatch`."""
        count = self._counts[prefix] = self._counts.get(prefix, 0) + 1
        return identifier(prefix, self.config.seed, count)

    def note_create(self, request_id: str, fault: str | None) -> list[str]:
        """Put a POST of a batch into the log. Returns the list of the batches it makes, to be filled."""
        made: list[str] = []
        self._creates.append({"request_id": request_id, "fault": fault, "batches": made})
        return made

    def create_batch(self, account: str, version: str, items: list[BatchItem], body_sha256: str) -> Batch:
        """A new batch, begun now."""
        batch = Batch(
            batch_id=self.new_id("msgbatch"),
            account=account,
            version=version,
            created=self.clock.now(),
            duration=int(self.config.batch_seconds * SECOND),
            items=items,
        )
        self.batches.add(batch, body_sha256)
        return batch

    def log(self) -> dict[str, Any]:
        """What arrived: calls per endpoint, every batch, which POST made which, the faults that happened, and how
        many items came twice."""
        return {
            "calls": dict(self.faults.calls),
            "creates_seen": self.faults.calls["batches.create"],
            "creates": self._creates,
            "faults": self.faults.happened,
            "duplicated_params": self.batches.duplicated_params(),
            "batches": self.batches.log(self.clock.now()),
        }
