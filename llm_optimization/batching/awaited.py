"""What somebody waits for: requests under one key, until each of them has ended."""

from __future__ import annotations

from collections.abc import Sequence
from concurrent.futures import Future
from typing import Final

from sqlalchemy import Connection, bindparam, func, select

from ledger import Ledger, schema
from ledger.errors import UnknownId
from ledger.projections import TERMINAL
from ledger.queries import active_batches
from scheduler.supervised import Awaited

__all__ = ["Wait", "on_record"]

_PAGE: Final = 1_000

_REQUEST, _STATE = schema.requests.c, schema.request_states.c

_SEQS: Final = select(_REQUEST.seq, _REQUEST.custom_id).where(
    _REQUEST.key == bindparam("key"), _REQUEST.custom_id.in_(bindparam("custom_ids", expanding=True))
)
_OPEN: Final = _STATE.seq.in_(bindparam("seqs", expanding=True)) & _STATE.status.not_in(sorted(TERMINAL))
_HOW_MANY_OPEN: Final = select(func.count()).select_from(schema.request_states).where(_OPEN)
_HOW_THEY_STAND: Final = (
    select(_STATE.status, _STATE.batch_id, func.count()).where(_OPEN).group_by(_STATE.status, _STATE.batch_id)
)


class Wait:
    """One wait. `future` is done once all have ended; who cancels it waits no longer."""

    def __init__(self, key: str, custom_ids: Sequence[str]) -> None:
        self.key = key
        self.custom_ids = list(dict.fromkeys(custom_ids))
        self.future: Future[None] = Future()
        self._open: list[list[int]] | None = None

    def look(self, ledger: Ledger) -> bool:
        """Tell it if all have ended. Returns whether this is over.

        One query a look while something is missing, however many requests are awaited: those that have ended are not
        asked about again. Raises `UnknownId` if one of them is not on record.
        """
        if self.future.cancelled():
            return True
        with ledger.read() as connection:
            if self._open is None:
                self._open = self._pages(connection)
            while self._open and not connection.scalar(_HOW_MANY_OPEN, {"seqs": self._open[-1]}):
                self._open.pop()
        if self._open:
            return False
        if self.future.set_running_or_notify_cancel():
            self.future.set_result(None)
        return True

    def fail(self, error: Exception) -> None:
        """Tell what makes waiting senseless; not who was told of the end already."""
        if not self.future.done() and self.future.set_running_or_notify_cancel():
            self.future.set_exception(error)

    def awaited(self, ledger: Ledger) -> Awaited:
        """What all of it hangs on."""
        batch_ids: set[str] = set()
        others = calls = 0
        for seqs in self._open or ():
            with ledger.read() as connection:
                for status, batch_id, count in connection.execute(_HOW_THEY_STAND, {"seqs": seqs}):
                    if status == "batched":
                        batch_ids.add(batch_id)
                    else:
                        others += count
                        calls += count if status == "fallback" else 0
        return Awaited([batch for batch in active_batches(ledger) if batch.id in batch_ids], others, calls)

    def _pages(self, connection: Connection) -> list[list[int]]:
        known = on_record(connection, self.key, self.custom_ids)
        for custom_id in self.custom_ids:
            if custom_id not in known:
                raise UnknownId(custom_id, f"no request of that custom_id is on record under key {self.key!r}")
        seqs = sorted(known.values())
        return [seqs[start : start + _PAGE] for start in range(0, len(seqs), _PAGE)]


def on_record(connection: Connection, key: str, custom_ids: Sequence[str]) -> dict[str, int]:
    """Which of these are on record under the key, each with its place in the order of all requests (`seq`)."""
    known: dict[str, int] = {}
    for start in range(0, len(custom_ids), _PAGE):
        rows = connection.execute(_SEQS, {"key": key, "custom_ids": list(custom_ids[start : start + _PAGE])})
        known.update((row.custom_id, row.seq) for row in rows)
    return known
