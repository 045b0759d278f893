"""The embedded ledger: one SQLite file in WAL mode, every commit synced to disk."""

from __future__ import annotations

import os
import sqlite3
import threading
import time
from collections.abc import Iterable, Iterator, Sequence
from contextlib import closing, contextmanager
from functools import partial
from pathlib import Path
from typing import Any, Final

from sqlalchemy import URL, Connection, Engine, StaticPool, Table, create_engine, event, make_url
from sqlalchemy.exc import DBAPIError

from ledger.backends import statements
from ledger.backends.base import DuplicateRow
from ledger.backends.binding import bindable, placeholder
from ledger.backends.resting import Resting
from ledger.crash_points import reached
from ledger.errors import DatabaseUnavailable, DatabaseUnusable
from ledger.forks import survives_forks

try:
    import pysqlite3.dbapi2 as driver
except ImportError:  # platforms without a wheel: the interpreter's own, if it is new enough
    import sqlite3 as driver

__all__ = ["SQLiteDatabase", "driver"]

SAFE_VERSION: Final = (3, 51, 3)
"""Before it, two connections that reset the WAL at once can corrupt the file (fixed in SQLite 3.51.3)."""

BUSY_SECONDS: Final = 60.0
"""How long a writer waits for another process's transaction before it gives up."""

FORK_SECONDS: Final = 5.0
"""How long a fork waits for transactions under way."""

_WRITER_CACHE: Final = 49_152
_READER_CACHE: Final = 8192
"""Pages that a connection keeps in memory, in KiB: there is one writer, and a reader for every thread."""

_WAL_PAGES: Final = 8000
"""Pages (32 MB) after which a commit copies the log back: pages that every bulk append changes are copied once."""

_BREATH: Final = 0.02
_KEYS: Final = 500
"""Keys per query: statements of equal length are prepared once."""

_LASTING: Final = (
    ("readonly database", "is read-only; give this user write access to the file and its directory"),
    ("file is not a database", "is not a SQLite database"),
    ("malformed", "is damaged; run `llm-ledger verify` on a copy"),
    ("unable to open", "cannot be opened; check that its directory exists and is writable"),
)
_PASSING: Final = (
    ("disk is full", "cannot grow: the disk is full; free some space"),
    ("is locked", "is locked by another process, and stayed so for {busy:g} s"),
    ("locking protocol", "is locked by another process, and stayed so for {busy:g} s"),
    # Also what a quota or a limit on the size of files looks like, and a full disk to the index of the WAL.
    ("disk i/o error", "cannot be read or written: the disk reports an I/O error; see to its space and its health"),
)


_spoilt: Final[set[str]] = set()
"""Files that were in use when this process was forked: their locks are the parent's, however they are opened."""


class SQLiteDatabase:
    """A ledger in one file. `path` None keeps it in memory (tests, scratch copies): one connection then.

    Writers of this process take turns by a lock, writers of several processes by `BEGIN IMMEDIATE`.
    """

    dialect = "sqlite"

    def __init__(self, url: str, *, busy_seconds: float = BUSY_SECONDS) -> None:
        if driver.sqlite_version_info < SAFE_VERSION:
            raise DatabaseUnusable(
                f"SQLite {driver.sqlite_version} can corrupt a ledger when two processes write (fixed in 3.51.3); "
                "install pysqlite3 >= 0.6.1, which brings a newer one"
            )
        self.url = url
        self.path = make_url(url).database or None
        if self.path == ":memory:":
            self.path = None
        self._busy_seconds = busy_seconds
        # A database in memory is its one connection. Of a file's, the one that writes deserves most of the cache.
        self._engine = self._make_engine(_READER_CACHE)
        self._writer = self._make_engine(_WRITER_CACHE) if self.path is not None else self._engine
        self._turn = threading.RLock()
        self._resting = Resting()
        self._at_rest = True
        self._refuse_spoilt()
        survives_forks(self)

    def _renew_locks(self) -> None:
        self._turn = threading.RLock()
        self._resting.renew()

    def _make_engine(self, cache: int) -> Engine:
        if self.path is not None and not Path(self.path).parent.is_dir():
            raise DatabaseUnusable(f"{self.path}: the directory {Path(self.path).parent} does not exist")
        engine = create_engine(
            URL.create("sqlite", database=self.path),
            module=driver,
            # A database in memory is its connection: the default pool would give each thread an empty one.
            poolclass=None if self.path else StaticPool,
            connect_args={"check_same_thread": False, "timeout": self._busy_seconds, "cached_statements": 256},
        )
        event.listen(engine, "connect", partial(_prepare, cache))
        event.listen(engine, "begin", _begin)
        return engine

    @property
    def missing(self) -> bool:
        return self.path is not None and not Path(self.path).exists()

    def prepare(self) -> None:
        # The mode is kept in the file, and cannot be changed within a transaction.
        with self._translated(), closing(self._engine.raw_connection()) as connection:
            give_up = time.monotonic() + self._busy_seconds
            while True:
                try:
                    connection.cursor().execute("PRAGMA journal_mode=WAL").fetchall()
                except driver.OperationalError as error:  # no busy timeout: somebody else may be setting it up, too
                    if "locked" not in str(error) or time.monotonic() > give_up:
                        raise self._explain(error) or error from error
                    time.sleep(_BREATH)
                else:
                    return

    @contextmanager
    def write(self) -> Iterator[Connection]:
        with self._turn, self._translated(), self._writer.connect() as connection:
            connection = connection.execution_options(ledger_write=True)
            with connection.begin():
                yield connection
                reached("commit.before")
            reached("commit.after")

    @contextmanager
    def read(self) -> Iterator[Connection]:
        if self.path is None:
            with self._turn, self._translated(), self._engine.begin() as connection:
                yield connection
        else:
            with self._translated(), self._engine.begin() as connection:
                yield connection

    @contextmanager
    def _translated(self) -> Iterator[None]:
        self._refuse_spoilt()
        with self._resting.use():
            try:
                yield
            except DBAPIError as error:
                raise self._explain(error.orig) or error from error

    def _refuse_spoilt(self) -> None:
        if _spoilt and self.path is not None and os.path.realpath(self.path) in _spoilt:
            raise DatabaseUnusable(
                f"{self.path} was in use when this process was forked, so SQLite would lose what is written here; "
                "start the process by spawn, or close the ledger before the fork"
            )

    def _explain(self, error: BaseException | None) -> Exception | None:
        text = str(error)
        if isinstance(error, driver.IntegrityError):
            return DuplicateRow(text)
        for kind, explanations in ((DatabaseUnusable, _LASTING), (DatabaseUnavailable, _PASSING)):
            for symptom, explanation in explanations:
                if symptom in text.lower():
                    explanation = explanation.format(busy=self._busy_seconds)
                    return kind(f"{self.path or 'the in-memory ledger'} {explanation}")
        return None

    def fetch(self, connection: Connection, query: str, keys: Sequence[Any]) -> list[tuple[Any, ...]]:
        rows: list[tuple[Any, ...]] = []
        for start in range(0, len(keys), _KEYS):
            some = tuple(keys[start : start + _KEYS])
            among = f"IN ({','.join('?' * len(some))})"
            rows += connection.exec_driver_sql(query.format(among=among), some).cursor.fetchall()
        return rows

    def insert(self, connection: Connection, table: Table, rows: Iterable[Sequence[Any]]) -> None:
        _many(connection, statements.insert(table, placeholder), table, list(rows))

    def insert_missing(self, connection: Connection, table: Table, rows: Sequence[Sequence[Any]]) -> None:
        _many(connection, statements.insert_missing(table, placeholder), table, rows)

    def update(self, connection: Connection, table: Table, rows: Sequence[Sequence[Any]]) -> None:
        _many(connection, statements.update(table, placeholder), table, rows)

    def add(self, connection: Connection, table: Table, rows: Sequence[Sequence[Any]]) -> None:
        _many(connection, statements.add(table, placeholder), table, rows)

    def before_fork(self) -> None:
        # SQLite notes in memory which locks the process holds on a file. A child inherits the notes, not the locks:
        # it would write to a log that the parent deletes when it closes. So no connection to a file may be open.
        self._at_rest = self._resting.stop(FORK_SECONDS) or self.path is None
        if self._at_rest and self.path is not None:
            self.close()

    def after_fork(self, *, child: bool) -> None:
        if not child:
            self._resting.go_on()
            return
        self._renew_locks()
        if not self._at_rest:
            _spoilt.add(os.path.realpath(str(self.path)))

    def close(self) -> None:
        self._engine.dispose()
        self._writer.dispose()


def _many(connection: Connection, statement: str, table: Table, rows: Sequence[Sequence[Any]]) -> None:
    if rows:
        connection.exec_driver_sql(statement, bindable(table, rows))


def _prepare(cache: int, connection: sqlite3.Connection, _record: object) -> None:
    # Transactions are begun by `_begin`, in words; the driver's own guesses would start them too late.
    connection.isolation_level = None
    cursor = connection.cursor()
    for pragma in (
        "synchronous=FULL",
        "temp_store=MEMORY",
        f"cache_size=-{cache}",
        f"wal_autocheckpoint={_WAL_PAGES}",
    ):
        cursor.execute(f"PRAGMA {pragma}").fetchall()
    cursor.close()


def _begin(connection: Connection) -> None:
    immediate = connection.get_execution_options().get("ledger_write")
    connection.exec_driver_sql("BEGIN IMMEDIATE" if immediate else "BEGIN")
