"""One ledger, opened: the log, its bodies and its projections behind one object."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import AbstractContextManager
from types import TracebackType
from typing import Self

from sqlalchemy import Connection

from ledger import upcast
from ledger.backends import Database, open_database
from ledger.clock import Clock, SystemClock
from ledger.events import NewEvent, RecordedEvent
from ledger.forks import survives_forks
from ledger.ids import IdFactory
from ledger.intake import take_in
from ledger.migrate import ensure_schema
from ledger.payloads import EncodedPayload, read_payload
from ledger.prices import adopt_packaged_prices
from ledger.projections import check_versions
from ledger.settings import LedgerSettings, SpoolSettings
from ledger.spool import Spool, spool_base
from ledger.store import EventStore, Head
from ledger.turns import Append
from ledger.writer import Writer

__all__ = ["Ledger"]


class Ledger:
    """The ledger at a database URL. Safe to share between threads; close it, or use it as a context manager.

    `clock` and `ids` are where time and ids come from; tests and simulations bring their own.
    """

    def __init__(self, database: Database, *, clock: Clock | None = None, ids: IdFactory | None = None) -> None:
        self.database = database
        self.clock = clock or SystemClock()
        self.ids = ids or IdFactory(self.clock)
        self._store = EventStore(database, self.clock)
        self._writer: Writer | None = None
        self._making = threading.Lock()
        survives_forks(self)

    @classmethod
    def open(
        cls,
        url: str | None = None,
        *,
        create: bool = True,
        clock: Clock | None = None,
        ids: IdFactory | None = None,
    ) -> Self:
        """Open the ledger at `url`, by default at `LLM_LEDGER_DATABASE_URL`.

        An absent SQLite ledger is created if `create`. What earlier processes spooled is taken in. Raises
        `ConfigurationError` or `DatabaseUnusable`.
        """
        upcast.check_chain()
        database = open_database(url or LedgerSettings.from_env().database_url)
        try:
            # A shared database is set up on purpose, by `init`; a file of one's own simply at first use.
            ensure_schema(database, create=create and database.dialect == "sqlite")
            with database.read() as connection:
                check_versions(connection)
            ledger = cls(database, clock=clock, ids=ids)
            adopt_packaged_prices(ledger)
            take_in(ledger, spool_base(database.url, SpoolSettings.from_env()))
        except BaseException:
            database.close()
            raise
        return ledger

    def append(
        self,
        events: Iterable[NewEvent],
        *,
        payloads: Iterable[EncodedPayload] = (),
        guard: Callable[[Connection], None] | None = None,
    ) -> list[int]:
        """Append events, all or none: see `EventStore.append`."""
        return self._store.append(events, payloads=payloads, guard=guard)

    def append_all(self, appends: Sequence[Append]) -> None:
        """Decide many appends, each for itself: see `EventStore.append_all`."""
        self._store.append_all(appends)

    def try_writing(self) -> None:
        """Find out whether an append would find a database: see `EventStore.try_writing`."""
        self._store.try_writing()

    @property
    def writer(self) -> Writer:
        """A thread that appends for all others of this process: started when it is first used, flushed by `close`."""
        with self._making:
            if self._writer is None or self._writer.closed:
                spool = Spool.at(self.database.url, SpoolSettings.from_env())
                self._writer = Writer(lambda: self, spool, clock=self.clock)
            return self._writer

    def events(
        self,
        *,
        after: int = 0,
        stream: str | None = None,
        limit: int | None = None,
        newest_first: bool = False,
    ) -> Iterator[RecordedEvent]:
        """Events in log order beyond a position: see `EventStore.read`."""
        return self._store.read(after=after, stream=stream, limit=limit, newest_first=newest_first)

    def head(self) -> Head:
        """Position and hash of the last event."""
        return self._store.head()

    def payload(self, digest: bytes) -> bytes:
        """A stored body, byte for byte."""
        with self.database.read() as connection:
            return read_payload(connection, digest)

    def read(self) -> AbstractContextManager[Connection]:
        """A consistent view of the tables, for queries."""
        return self.database.read()

    def close(self) -> None:
        """Write what was handed to the writer, and give back every connection."""
        if self._writer is not None:
            self._writer.close()
        self.database.close()

    def before_fork(self) -> None:
        """Nothing: the database sees to its connections."""

    def after_fork(self, *, child: bool) -> None:
        """Go on; in the child with locks and a queue of its own."""
        if child:
            self._making = threading.Lock()
            self._store = EventStore(self.database, self.clock)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()
