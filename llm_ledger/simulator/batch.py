"""One batch: what was sent, how far it is, and when it ends.

An item of a batch of n that takes d seconds starts at i/n·d and is done at (i+1)/n·d after the creation. A
cancel or the 24 hours stop the clock for items not done by then.
"""

from __future__ import annotations

from random import Random
from typing import Any, Literal

import msgspec

from llm_ledger.simulator.clock import DAY, rfc3339

__all__ = ["EXPIRES_AFTER", "RESULTS_KEPT", "Batch", "BatchItem", "Kind"]

EXPIRES_AFTER = DAY
RESULTS_KEPT = 29 * DAY

Kind = Literal["processing", "succeeded", "errored", "canceled", "expired"]
_KINDS: tuple[Kind, ...] = ("processing", "succeeded", "errored", "canceled", "expired")


class BatchItem(msgspec.Struct, frozen=True):
    """One item as sent. `digest` is a hash of the params' bytes."""

    custom_id: str
    params: msgspec.Raw
    digest: bytes


class Batch:
    """A batch and its items. All instants in microseconds.

    `lines` holds the results in the order of the items; `done` counts the items that were worked on.
    """

    def __init__(
        self,
        *,
        batch_id: str,
        account: str,
        version: str,
        created: int,
        duration: int,
        items: list[BatchItem],
    ) -> None:
        self.id = batch_id
        self.account = account
        self.version = version
        self.created = created
        self.size = len(items)
        self.digests = [item.digest for item in items]
        self.custom_ids = [item.custom_id for item in items]
        self.items = items
        self.done = 0
        self.lines: list[bytes] = []
        self.canceled_at: int | None = None
        self.deleted_at: int | None = None
        self._kinds = bytearray(self.size)
        self._duration = duration
        self._ends = min(created + duration, self.expires)

    @property
    def expires(self) -> int:
        return self.created + EXPIRES_AFTER

    @property
    def ends(self) -> int:
        """The instant at which processing ends, as far as it is known now."""
        return self._ends

    @property
    def settled(self) -> bool:
        """Every item has an outcome."""
        return len(self.lines) == self.size

    def cancel(self, at: int, takes: int) -> None:
        """Stop: items not done by now are canceled, and the batch ends `takes` later."""
        if self.canceled_at is None:
            self.canceled_at = at
            self._ends = min(self._ends, at + takes)

    def delete(self, at: int) -> None:
        """Let it be found no more."""
        if self.deleted_at is None:
            self.deleted_at = at

    def start_of(self, index: int) -> int:
        """When an item's inference begins."""
        return self.created + self._duration * index // self.size

    def due(self, now: int) -> int:
        """How many items are done by now."""
        elapsed = min(now, self.expires, self.canceled_at if self.canceled_at is not None else now) - self.created
        if elapsed >= self._duration:
            return self.size
        return self.size * max(elapsed, 0) // self._duration

    def record(self, kind: Kind, line: bytes) -> None:
        """Note the outcome of the next item."""
        self._kinds[len(self.lines)] = _KINDS.index(kind)
        self.lines.append(line)

    def release(self) -> None:
        """Let go of the params: every item has its outcome."""
        self.items = []

    def kind_of(self, index: int) -> Kind:
        """The outcome of an item."""
        return _KINDS[self._kinds[index]]

    def ended(self, now: int) -> bool:
        return self.settled and now >= self.ends

    def shuffled(self, seed: int) -> list[int]:
        """The order of the results."""
        order = list(range(self.size))
        Random(f"{seed} {self.id}").shuffle(order)  # noqa: S311 -- an order that looks random, no secret
        return order

    def show(self, now: int, results_url: str) -> dict[str, Any]:
        """The batch as the provider shows it, at `now` or some time before."""
        ended = self.ended(now)
        archived = ended and now >= self.created + RESULTS_KEPT
        canceled_at = self.canceled_at if self.canceled_at is not None and self.canceled_at <= now else None
        status = "ended" if ended else "canceling" if canceled_at is not None else "in_progress"
        return {
            "id": self.id,
            "type": "message_batch",
            "processing_status": status,
            "request_counts": self._counts() if ended else {**dict.fromkeys(_KINDS, 0), "processing": self.size},
            "created_at": rfc3339(self.created),
            "expires_at": rfc3339(self.expires),
            "ended_at": rfc3339(self.ends) if ended else None,
            "cancel_initiated_at": None if canceled_at is None else rfc3339(canceled_at),
            "archived_at": rfc3339(self.created + RESULTS_KEPT) if archived else None,
            "results_url": results_url if ended and not archived else None,
        }

    def _counts(self) -> dict[str, int]:
        return {kind: self._kinds.count(code) for code, kind in enumerate(_KINDS)}
