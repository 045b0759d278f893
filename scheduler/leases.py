"""Who works on what: leases that end by themselves, with a fence that tells a late holder from the present one.

A lease is an operation, not a fact: it lives beside the log, in the `leases` table. Its holder believes in it
only as long as its own monotonic clock allows, so a process that slept too long stops by itself; what it tries
to append after that is refused by the fence.

Whoever reaches for a lease waits for nobody else who does: on Postgres what another transaction has in its hands is
skipped; on SQLite write transactions take turns (`BEGIN IMMEDIATE`), and these are short.
"""

from __future__ import annotations

import logging
import threading
from datetime import timedelta
from typing import Any, Final

from sqlalchemy import BindParameter, Connection, bindparam, delete, func, insert, select, update

from ledger import Ledger, schema
from ledger.clock import to_micros
from ledger.crash_points import within
from ledger.errors import DatabaseUnavailable, LedgerError
from scheduler.machine import FAR

__all__ = ["Lease", "LeaseLost", "Leases"]

_log = logging.getLogger(__name__)

_LEASE: Final = schema.leases.c
_THIS: Final = _LEASE.id == bindparam("lease")
_ROW: Final = select(_LEASE.owner, _LEASE.fence, _LEASE.lease_until).where(_THIS)
_ROW_LOCKED: Final = _ROW.with_for_update()
_ROW_SKIPPED: Final = _ROW.with_for_update(skip_locked=True)

_HOLDER: Final[dict[str, BindParameter[Any]]] = {
    "owner": bindparam("of"),
    "fence": bindparam("under"),
    "lease_until": bindparam("until"),
}
_FIRST: Final = insert(schema.leases).values(id=bindparam("lease"), **_HOLDER)
_TAKEN: Final = update(schema.leases).where(_THIS).values(**_HOLDER)
_ENDED: Final = (
    update(schema.leases)
    .where(_THIS, _LEASE.owner == bindparam("of"), _LEASE.fence == bindparam("under"))
    .values(lease_until=bindparam("until"))
)
_RENEWED: Final = _ENDED.where(_LEASE.lease_until > 0)
_FORGOTTEN: Final = delete(schema.leases).where(_THIS, _LEASE.fence == bindparam("under"))


class LeaseLost(LedgerError):
    """Somebody else may hold the lease by now; whatever it covered is theirs."""

    def __init__(self, lease_id: str) -> None:
        super().__init__(f"the lease on {lease_id} has ended")
        self.lease_id = lease_id


class Lease:
    """One held lease."""

    def __init__(
        self, ledger: Ledger, lease_id: str, owner: str, fence: int, *, seconds: float, began: float, until: int
    ) -> None:
        self.id = lease_id
        self.fence = fence
        self._ledger = ledger
        self._owner = owner
        self._seconds = seconds
        self._ends = began + seconds
        self._deadline = until

    @property
    def deadline(self) -> int:
        """When it ends for others unless it is renewed, in microseconds since 1970."""
        return self._deadline

    def check(self) -> None:
        """Raise `LeaseLost` unless it is certainly still ours. Asks the clock, not the database."""
        if self._ledger.clock.monotonic() >= self._ends:
            raise LeaseLost(self.id)

    def guard(self, connection: Connection) -> None:
        """Raise `LeaseLost` unless the database says that it is ours: for use under the head lock."""
        row = _row(connection, self.id, lock=True)
        # One that was given back has no end any more.
        if row is None or (row[0], row[1]) != (self._owner, self.fence) or not row[2]:
            raise LeaseLost(self.id)

    def renew(self) -> None:
        """Make it last its full time from now on. Raises `LeaseLost` if it is not ours any more."""
        began = self._ledger.clock.monotonic()
        deadline = to_micros(self._ledger.clock.now() + timedelta(seconds=self._seconds))
        with within("renew"), self._ledger.database.write() as connection:
            # One statement: a process that is stopped while it has the row locked keeps it from everybody.
            renewed = connection.execute(_RENEWED, self._place(deadline))
            if not renewed.rowcount:
                raise LeaseLost(self.id)
        self._ends, self._deadline = began + self._seconds, deadline

    def release(self) -> None:
        """Let others have it at once. The fence goes on counting."""
        with within("release"), self._ledger.database.write() as connection:
            connection.execute(_ENDED, self._place(0))

    def _place(self, until: int) -> dict[str, str | int]:
        return {"lease": self.id, "of": self._owner, "under": self.fence, "until": until}


class Leases:
    """The leases of one worker. Renewed at a third of their time by a thread of its own while it is running."""

    def __init__(self, ledger: Ledger, owner: str, seconds: float) -> None:
        self._ledger = ledger
        self._owner = owner
        self._seconds = seconds
        self._held: dict[str, Lease] = {}
        self._lock = threading.Lock()
        self._stop = threading.Event()
        self._thread: threading.Thread | None = None

    def acquire(self, lease_id: str) -> Lease | None:
        """The lease on that id, or None while somebody holds it or takes it (another thread of this worker too)."""
        began = self._ledger.clock.monotonic()
        now = to_micros(self._ledger.clock.now())
        until = now + round(self._seconds * 1_000_000)
        fence = self._take(lease_id, now, until)
        if fence is None:
            return None
        lease = Lease(self._ledger, lease_id, self._owner, fence, seconds=self._seconds, began=began, until=until)
        with self._lock:
            self._held[lease_id] = lease
        return lease

    def _take(self, lease_id: str, now: int, until: int) -> int | None:
        """The fence under which it is ours now, None if somebody holds it."""
        with within("lease"), self._ledger.database.write() as connection:
            if not _alone(connection, lease_id):
                return None
            row = _row(connection, lease_id, lock=True, skip_locked=True)
            if row is None and _row(connection, lease_id) is not None:
                return None  # its holder is writing under it at this moment
            if row is not None and now < row[2] <= now + FAR:
                return None
            fence = (row[1] if row is not None else 0) + 1
            values = {"lease": lease_id, "of": self._owner, "under": fence, "until": until}
            connection.execute(_FIRST if row is None else _TAKEN, values)
        return fence

    def release(self, lease: Lease, *, forget: bool = False) -> None:
        """Give a lease back; `forget` also drops its row, for work that will never come again."""
        self._drop(lease)
        lease.release()
        if forget:
            with within("forget"), self._ledger.database.write() as connection:
                connection.execute(_FORGOTTEN, {"lease": lease.id, "under": lease.fence})

    def renew_held(self) -> None:
        """Renew every lease in hand. One that is lost is dropped; its holder finds out at its next check."""
        with self._lock:
            held = list(self._held.values())
        for lease in held:
            try:
                lease.renew()
            except LeaseLost:
                self._drop(lease)
            except DatabaseUnavailable as error:
                _log.debug("lease on %s not renewed: %s", lease.id, error)  # whoever works under it says so
            except Exception as error:  # whatever it is, the next third of the time may go better
                _log.warning("lease on %s not renewed: %s", lease.id, error)

    def start(self) -> None:
        """Begin to renew in the background."""
        self._thread = threading.Thread(target=self._renew_forever, name="llm-ledger-leases", daemon=True)
        self._thread.start()

    def stop(self) -> None:
        """End the background renewal."""
        self._stop.set()
        if self._thread is not None:
            self._thread.join()
            self._thread = None

    def _drop(self, lease: Lease) -> None:
        """Hold it no longer. Under its id another lease may be in hand by now, and stays there."""
        with self._lock:
            if self._held.get(lease.id) is lease:
                del self._held[lease.id]

    def _renew_forever(self) -> None:
        while not self._stop.wait(self._seconds / 3):
            self.renew_held()


def _alone(connection: Connection, lease_id: str) -> bool:
    """True if nobody else reaches for it now: a row's first insert could not be skipped, only waited for."""
    if connection.dialect.name != "postgresql":
        return True
    return bool(connection.scalar(select(func.pg_try_advisory_xact_lock(func.hashtextextended(lease_id, 0)))))


def _row(
    connection: Connection, lease_id: str, *, lock: bool = False, skip_locked: bool = False
) -> tuple[str, int, int] | None:
    """(owner, fence, end) as stored. `lock` keeps others from changing it until the transaction ends.

    With `skip_locked` a row that somebody else has locked counts as absent instead of being waited for.
    """
    query = _ROW if not lock else _ROW_SKIPPED if skip_locked else _ROW_LOCKED
    row = connection.execute(query, {"lease": lease_id}).first()
    return (row.owner, row.fence, row.lease_until) if row is not None else None
