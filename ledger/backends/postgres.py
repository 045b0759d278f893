"""The shared ledger: one Postgres database, any number of processes.

Writers take turns at the head row, which the store locks first in every append. That gives gapless positions and
a chain, and leaves no two appends to deadlock. Bulk rows travel by COPY and as arrays: one statement each.
"""

from __future__ import annotations

import time
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from itertools import chain, islice
from typing import Any, Final

import psycopg
from psycopg.errors import CharacterNotInRepertoire, UniqueViolation
from psycopg.types.string import BytesBinaryDumper
from sqlalchemy import (
    URL,
    Column,
    Connection,
    Engine,
    Pool,
    Table,
    create_engine,
    event,
    make_url,
)
from sqlalchemy.exc import DBAPIError, DisconnectionError
from sqlalchemy.pool import ConnectionPoolEntry

from ledger.backends import statements
from ledger.backends.arrays import kind_of, packed_keys
from ledger.backends.base import DuplicateRow
from ledger.crash_points import reached
from ledger.errors import DatabaseUnavailable, DatabaseUnusable, InputError
from ledger.forks import survives_forks

__all__ = ["PostgresDatabase"]

LOCK_TIMEOUT: Final = "60s"
"""How long a writer waits for another one's transaction before it gives up."""

STOPPED_AFTER: Final = "10s"
"""How long a transaction may pause between two statements: a process that was stopped there gives up its locks."""

COPIED_WITHIN: Final = "60s"
"""How long a COPY of one portion of an append may take: a hundred times what it does."""

TRUSTED_SECONDS: Final = 1.0
"""How long a resting connection is taken for alive: asking each time costs a read more than its query."""

_LIMITS: Final = (
    "SELECT set_config('lock_timeout', %s, true), set_config('idle_in_transaction_session_timeout', %s, true)"
)
_COPY_FROM: Final = 20
"""Rows from which COPY is quicker than INSERT."""

# An interface error is a connection that is gone: the server ended it before the statement was sent.
_UNUSABLE: Final = (
    psycopg.OperationalError
    | psycopg.InterfaceError
    | psycopg.errors.InsufficientPrivilege
    | psycopg.errors.IdleInTransactionSessionTimeout
)

_BROKEN: Final = ("08", "25P03", "40", "57P01", "57P02", "57P03", "57P05")
"""How the SQLSTATE begins of a lost connection, or of a transaction rolled back for another one's sake."""

_HINDERED: Final = ("53", "57014", "58")
"""Of a lack of room or memory, a statement that took too long, trouble with the disk."""

_LASTING: Final = (
    "authentication",
    "does not exist",
    "does not support SSL",
    "invalid connection option",
    "invalid integer value",
    "invalid port number",
    "invalid sslmode",
    "no password supplied",
    "no pg_hba.conf entry",
    "not permitted to log in",
    "ermission denied",
)
"""What libpq says where no connection comes about, without a SQLSTATE, and never will. Anything else may pass."""


class PostgresDatabase:
    """A ledger in a Postgres database, reached through psycopg 3."""

    dialect = "postgresql"

    def __init__(self, url: str, *, lock_timeout: str = LOCK_TIMEOUT) -> None:
        parsed = make_url(url).set(drivername="postgresql+psycopg")
        self.url = _shown(parsed)
        self._lock_timeout = lock_timeout
        self._engine: Engine = create_engine(parsed, connect_args={"connect_timeout": 10})
        self._inherited: list[Pool] = []
        event.listen(self._engine, "connect", _dump_bytes_quickly)
        event.listen(self._engine, "checkin", _rested)
        event.listen(self._engine, "checkout", _as_the_server_says)
        event.listen(self._engine, "checkout", _still_there)
        self._reader = self._engine.execution_options(isolation_level="REPEATABLE READ", postgresql_readonly=True)
        survives_forks(self)

    @property
    def missing(self) -> bool:
        return False  # a server that lacks the database says so by itself

    def prepare(self) -> None:
        """Nothing: what a ledger needs of Postgres is said in each transaction."""

    @contextmanager
    def write(self) -> Iterator[Connection]:
        with self._translated(), self._begun() as connection:
            transaction = connection.get_transaction()
            assert transaction is not None
            with transaction:
                yield connection
                reached("commit.before")
            reached("commit.after")

    def _begun(self) -> Connection:
        """A connection in a transaction; a new one if the server went away since the one at hand was used."""
        try:
            return self._begin()
        except DBAPIError as error:
            if not error.connection_invalidated:
                raise
        return self._begin()

    def _begin(self) -> Connection:
        connection = self._engine.connect()
        try:
            connection.exec_driver_sql(_LIMITS, (self._lock_timeout, STOPPED_AFTER))
        except BaseException:
            connection.close()
            raise
        return connection

    @contextmanager
    def read(self) -> Iterator[Connection]:
        with self._translated(), self._reader.begin() as connection:
            yield connection

    @contextmanager
    def _translated(self) -> Iterator[None]:
        try:
            yield
        except DBAPIError as error:
            raise self._explain(error.orig) or error from error
        except psycopg.Error as error:  # COPY runs beside SQLAlchemy
            raise self._explain(error) or error from error

    def _explain(self, error: BaseException | None) -> Exception | None:
        line = str(error).strip().partition("\n")[0]
        if isinstance(error, UniqueViolation):
            return DuplicateRow(line)
        if isinstance(error, psycopg.errors.LockNotAvailable):
            return DatabaseUnavailable(f"{self.url} was locked by another process for {self._lock_timeout}")
        if isinstance(error, psycopg.errors.ReadOnlySqlTransaction):
            return DatabaseUnusable(f"{self.url} cannot be written: {line}")
        if isinstance(error, _UNUSABLE) or "invalid connection option" in line:
            return _unusable(getattr(error, "sqlstate", None), f"{self.url}: {line}")
        if isinstance(error, CharacterNotInRepertoire) or "cannot contain NUL" in line:  # the driver's words
            return InputError(f"{self.url} takes no text with a NUL character in it")
        return None

    def fetch(self, connection: Connection, query: str, keys: Sequence[Any]) -> list[tuple[Any, ...]]:
        if not keys:
            return []
        return list(
            connection.exec_driver_sql(query.format(among="= ANY(%b)"), (packed_keys(keys),)).cursor.fetchall()
        )

    def insert(self, connection: Connection, table: Table, rows: Iterable[Sequence[Any]]) -> None:
        remaining = iter(rows)
        few = [tuple(row) for row in islice(remaining, _COPY_FROM)]
        if len(few) < _COPY_FROM:
            if few:
                connection.exec_driver_sql(statements.insert(table, _placeholder), few)
            return
        columns = ", ".join(column.name for column in table.columns)
        statement = f"COPY {table.name} ({columns}) FROM STDIN (FORMAT BINARY)"
        driver: Any = connection.connection  # psycopg's own connection: SQLAlchemy knows no COPY
        with driver.cursor() as cursor:
            # To the server a process that was stopped here is not idle: it waits for the next row.
            cursor.execute(f"SET LOCAL statement_timeout = '{COPIED_WITHIN}'")
            with cursor.copy(statement) as copy:
                copy.set_types(_types(table))
                for row in chain(few, remaining):
                    copy.write_row(row)
            cursor.execute("SET LOCAL statement_timeout TO DEFAULT")

    def insert_missing(self, connection: Connection, table: Table, rows: Sequence[Sequence[Any]]) -> None:
        _arrays(connection, table, f"{_insert_select(table)} ON CONFLICT DO NOTHING", rows)

    def update(self, connection: Connection, table: Table, rows: Sequence[Sequence[Any]]) -> None:
        names = [column.name for column in table.columns]
        keys = [column.name for column in table.primary_key.columns]
        changing = names[statements.changing(table) :]
        assignments = ", ".join(f"{name} = new.{name}" for name in changing)
        condition = " AND ".join(f"{table.name}.{name} = new.{name}" for name in keys)
        statement = f"UPDATE {table.name} SET {assignments} FROM {_unnest(table)} WHERE {condition}"  # noqa: S608
        _arrays(connection, table, statement, rows)

    def add(self, connection: Connection, table: Table, rows: Sequence[Sequence[Any]]) -> None:
        _arrays(connection, table, f"{_insert_select(table)} {statements.on_conflict_add(table)}", rows)

    def before_fork(self) -> None:
        """Nothing: the child leaves this process's connections alone."""

    def after_fork(self, *, child: bool) -> None:
        if child:
            # Kept, for the collector would say goodbye to the server on connections that the parent is using.
            self._inherited.append(self._engine.pool)
            self._engine.dispose(close=False)

    def close(self) -> None:
        self._engine.dispose()


def _unusable(state: str | None, message: str) -> DatabaseUnusable:
    """Whether it is so for the moment only, by SQLSTATE, or by the driver's words where there is none."""
    if state is None:
        lasts = any(words in message for words in _LASTING)
        return DatabaseUnusable(message) if lasts else DatabaseUnavailable(message, lost=True)
    if state.startswith(_BROKEN):
        return DatabaseUnavailable(message, lost=True)
    return DatabaseUnavailable(message) if state.startswith(_HINDERED) else DatabaseUnusable(message)


def _placeholder(_column: Column[Any], _place: int) -> str:
    return "%s"


def _arrays(connection: Connection, table: Table, statement: str, rows: Sequence[Sequence[Any]]) -> None:
    if rows:
        columns = zip(table.columns, zip(*rows, strict=True), strict=True)
        connection.exec_driver_sql(statement, tuple(kind_of(column)(values) for column, values in columns))


def _insert_select(table: Table) -> str:
    columns = ", ".join(column.name for column in table.columns)
    return f"INSERT INTO {table.name} ({columns}) SELECT {columns} FROM {_unnest(table)}"  # noqa: S608


def _unnest(table: Table) -> str:
    """The rows as one array per column, as a table named `new`."""
    arrays = ", ".join(["%b"] * len(table.columns))
    return f"unnest({arrays}) AS new({', '.join(column.name for column in table.columns)})"


def _types(table: Table) -> list[str]:
    return [kind_of(column).KIND for column in table.columns]


def _dump_bytes_quickly(connection: Any, *_: object) -> None:
    # For the bytea of a COPY the driver would take its `Binary` wrapper's dumper, which is not a compiled one.
    connection.adapters.register_dumper(bytes, BytesBinaryDumper)


def _rested(_connection: Any, record: ConnectionPoolEntry) -> None:
    record.info["resting since"] = time.monotonic()


def _still_there(connection: Any, record: ConnectionPoolEntry, _proxy: object) -> None:
    """Ask a connection that has rested for a while whether its server still is there; if not, the pool makes anew."""
    if time.monotonic() - record.info.get("resting since", 0.0) > TRUSTED_SECONDS:
        try:
            connection.execute("SELECT 1")
            connection.rollback()
        except psycopg.Error as error:
            raise DisconnectionError from error


def _as_the_server_says(connection: Any, *_: object) -> None:
    # After a read-only use SQLAlchemy asks for READ WRITE by name, which would override the server's own default.
    connection.read_only = None


def _shown(url: URL) -> str:
    """The URL without its password, which may stand behind the user's name or among the options."""
    secrets = [name for name in url.query if "password" in name]
    return url.difference_update_query(secrets).render_as_string(hide_password=True)
