"""What a simulator can be told before it starts."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime

import msgspec

from llm_ledger.simulator.outcomes import AccidentRule

__all__ = ["SimulatorConfig"]


class SimulatorConfig(msgspec.Struct, frozen=True, kw_only=True):
    """Everything that shapes the simulated provider. Seconds are seconds of simulator time.

    `seed` decides ids, texts, result order and chance. `start` is the first instant of the virtual clock
    (UTC, aware; None: now) and `time_scale` its speed against real time: 1 real time, 0 a clock that only
    moves when told to, 3600 an hour a second.

    Batches take `batch_seconds` from creation to end, `cancel_seconds` from a cancel to the end. A batch is
    404 for `visible_after_seconds` after its creation, its results for `results_after_seconds` after the end.
    `batch_cache_hit_rate` is the chance that an item of a batch may read the cache at all.

    `first_token_seconds` is how long a call takes and when the cache entries it writes become readable.
    `cache_minimums` overrides the smallest cacheable prompt of a model, in tokens.
    Each request of the batch endpoints and each standard call goes wrong with the chance `fault_rate`, as
    `fault_seed` (None: `seed`) and the count of calls decide; see `fault_lottery`.
    `accidents` are failures of batch items that are on order from the start.
    `account_aliases` maps a key to the key whose account it shares: a rotated credential.
    """

    seed: int = 0
    start: datetime | None = None
    time_scale: float = 1.0
    batch_seconds: float = 2.0
    cancel_seconds: float = 0.0
    visible_after_seconds: float = 0.0
    results_after_seconds: float = 0.0
    batch_cache_hit_rate: float = 1.0
    first_token_seconds: float = 0.0
    max_body_bytes: int = 256_000_000
    max_batch_items: int = 100_000
    fault_rate: float = 0.0
    fault_seed: int | None = None
    accidents: tuple[AccidentRule, ...] = ()
    cache_minimums: Mapping[str, int] = {}
    account_aliases: Mapping[str, str] = {}

    def __post_init__(self) -> None:
        if self.start is not None and self.start.tzinfo is None:
            raise ValueError("start must carry a time zone")
        if self.time_scale < 0 or self.batch_seconds < 0 or self.cancel_seconds < 0:
            raise ValueError("time only runs forward")
        if not (0 <= self.batch_cache_hit_rate <= 1 and 0 <= self.fault_rate <= 1):
            raise ValueError("batch_cache_hit_rate and fault_rate are chances between 0 and 1")
