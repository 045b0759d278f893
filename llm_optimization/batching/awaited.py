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
from llm_optimization.batching.outcomes import Outcome, read_outcomes
from scheduler.supervised import Awaited

__all__ = ["Wait"]

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
    """One wait. `future` gives the outcomes by custom id once all are there; who cancels it waits no longer."""

    def __init__(self, key: str, custom_ids: Sequence[str]) -> None:
        self.key = key
        self.custom_ids = list(dict.fromkeys(custom_ids))
        self.future: Future[dict[str, Outcome]] = Future()
        self._open: list[list[int]] | None = None

    def look(self, ledger: Ledger) -> bool:
        """Hand over the outcomes if all are there. Returns whether this is over.

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
        outcomes = read_outcomes(ledger, self.key, self.custom_ids)
        if self.future.set_running_or_notify_cancel():
            self.future.set_result(outcomes)
        return True

    def fail(self, error: Exception) -> None:
        """Hand over what makes waiting senseless."""
        if self.future.set_running_or_notify_cancel():
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
        pages: list[list[int]] = []
        for start in range(0, len(self.custom_ids), _PAGE):
            wanted = self.custom_ids[start : start + _PAGE]
            rows = connection.execute(_SEQS, {"key": self.key, "custom_ids": wanted})
            found = {row.seq: row.custom_id for row in rows}
            if len(found) < len(wanted):
                missing = next(one for one in wanted if one not in found.values())
                raise UnknownId(missing, f"no request of that custom_id is on record under key {self.key!r}")
            pages.append(sorted(found))
        return pages
