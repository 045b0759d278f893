"""Every batch of every account: creating, finding, listing, and the log that proves what arrived."""

from __future__ import annotations

from hashlib import sha256
from typing import Any

import msgspec

from llm_ledger.simulator.batch import Batch
from llm_ledger.simulator.clock import rfc3339
from llm_ledger.simulator.errors import invalid, not_found

__all__ = ["Batches", "Page"]

_SHOWN_IDS = 1_000


class Page(msgspec.Struct, frozen=True):
    """Part of a listing, newest first."""

    batches: list[Batch]
    has_more: bool


class Batches:
    """All batches since the start or the last reset, in order of creation.

    `visible_after` in microseconds: for that long a new batch is not found.
    """

    def __init__(self, visible_after: int) -> None:
        self._visible_after = visible_after
        self._all: dict[str, Batch] = {}
        self._body_hashes: dict[str, str] = {}
        self.unsettled: list[Batch] = []

    def add(self, batch: Batch, body_sha256: str) -> None:
        self._all[batch.id] = batch
        self._body_hashes[batch.id] = body_sha256
        self.unsettled.append(batch)

    def find(self, account: str, batch_id: str, now: int) -> Batch:
        """The batch. Raises ApiError 404 for one that is deleted, not yet visible or another account's."""
        batch = self._all.get(batch_id)
        if batch is None or batch.account != account or not self._visible(batch, now):
            raise not_found(f"Message batch {batch_id} not found.")
        return batch

    def page(self, account: str, now: int, *, limit: int, after: str | None, before: str | None) -> Page:
        """Up to `limit` batches, newest first: right after (older than) `after`, or right before `before`.

        Raises ApiError 400 for a cursor that names no batch of the account.
        """
        known = [batch for batch in reversed(self._all.values()) if batch.account == account]
        cursor = after or before
        ids = [batch.id for batch in known]
        if cursor is not None and cursor not in ids:
            raise invalid(f"{'after_id' if after else 'before_id'}: no message batch {cursor}")
        if after is not None:
            known = known[ids.index(after) + 1 :]
        elif before is not None:
            known = known[: ids.index(before)]
        visible = [batch for batch in known if self._visible(batch, now)]
        shown = visible[-limit:] if before is not None and after is None else visible[:limit]
        return Page(shown, len(visible) > len(shown))

    def log(self, now: int) -> list[dict[str, Any]]:
        """Every batch that ever arrived, oldest first, deleted ones too."""
        return [
            {
                "id": batch.id,
                "account": batch.account,
                "request_count": batch.size,
                "created_at": rfc3339(batch.created),
                "body_sha256": self._body_hashes[batch.id],
                "custom_ids_sha256": sha256("\n".join(sorted(batch.custom_ids)).encode()).hexdigest(),
                "custom_ids": sorted(batch.custom_ids) if batch.size <= _SHOWN_IDS else None,
                "deleted": batch.deleted_at is not None,
                **{key: batch.show(now, "")[key] for key in ("processing_status", "request_counts")},
            }
            for batch in self._all.values()
        ]

    def duplicated_params(self) -> int:
        """Items whose exact params an earlier batch of the account holds too, both succeeded or still running.

        Canceled, expired and errored items do not count: sending those again is a retry.
        """
        seen: set[tuple[str, bytes]] = set()
        duplicated = 0
        for batch in self._all.values():
            alive = [
                (batch.account, digest)
                for index, digest in enumerate(batch.digests)
                if batch.kind_of(index) in ("processing", "succeeded")
            ]
            duplicated += sum(key in seen for key in alive)
            seen.update(alive)
        return duplicated

    def _visible(self, batch: Batch, now: int) -> bool:
        gone = batch.deleted_at is not None and batch.deleted_at <= now
        return not gone and now >= batch.created + self._visible_after
