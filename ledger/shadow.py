"""A second set of projection tables beside the ledger's, and how its rows take the place of theirs.

A shadow has a connection on which plain table names mean its own tables, and the ledger's where it has none: the
folds write to it, and the log is read, with the statements that everybody else uses.

    SQLite file     a file beside the ledger's, the ledger attached; a locked file says who is rebuilding
    SQLite memory   temporary tables; that one connection is everybody's, so they wait from the beginning
    Postgres        temporary tables and an advisory lock of one session, gone with it

No tables are swapped: rows that are not as folded are deleted and inserted, within one transaction. On Postgres a
table is found by its name as of now, and its rows as of the reader's snapshot: a reader would see a table that was
put in place after its snapshot empty. It would also have lost what was granted on the old one.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager, ExitStack, closing, contextmanager
from pathlib import Path
from typing import Any, Final

from sqlalchemy import Connection, Table, select, text
from sqlalchemy.exc import OperationalError
from sqlalchemy.schema import CreateIndex, CreateTable, DropTable

from ledger import schema
from ledger.backends import Database
from ledger.backends.sqlite import SQLiteDatabase, driver
from ledger.errors import DatabaseUnusable
from ledger.projections import register

__all__ = ["Shadow", "beside"]

_TABLES: Final = (*schema.PROJECTION_TABLES, schema.projections)

_ALREADY: Final = "is being rebuilt by somebody else; wait until that is done"

_HEAD: Final = select(schema.ledger_head.c.position)
_LIVE: Final = text("SELECT relnamespace::regnamespace::text FROM pg_class WHERE oid = 'ledger_head'::regclass")
_TRY_LOCK: Final = text("SELECT pg_try_advisory_lock(hashtextextended(:schema, :key))")

_UNLOCK: Final = text("SELECT pg_advisory_unlock_all()")

_CHAIN: Final = ("COMMIT AND CHAIN",)

# For the whole session: our tables come first whatever the user's path says, and stay in memory while small.
_SETTINGS: Final = text("""
    SELECT set_config('lock_timeout', current_setting('lock_timeout'), false),
           set_config('search_path', 'pg_temp, ' || current_setting('search_path'), false),
           set_config('temp_buffers', '64MB', false),
           set_config('idle_in_transaction_session_timeout',
                      current_setting('idle_in_transaction_session_timeout'), false)
""")


class Shadow:
    """Projection tables in schema `own` of a connection, empty at first, to become those of its schema `live`.

    `database` is through whom to fold into them. The statements of `pausing` and `locking` end a transaction and
    begin another: one that holds nothing of the ledger's, one that appends wait for. None: all is one transaction.
    """

    def __init__(
        self,
        database: Database,
        connection: Connection,
        *,
        own: str,
        live: str,
        pausing: Sequence[str] = (),
        locking: Sequence[str] = (),
    ) -> None:
        self.database = database
        self.connection = connection
        self._own = own
        self._live = live
        self._pausing = pausing
        self._locking = locking
        for table in _TABLES:
            self._define(CreateTable(table))
            for index in table.indexes:
                self._define(CreateIndex(index))
        register(database, connection)

    def _define(self, statement: CreateTable | CreateIndex | DropTable) -> None:
        self.connection.execute(statement, execution_options={"schema_translate_map": {None: self._own}})

    def pause(self) -> None:
        """Keep what was folded so far, and let go of the log."""
        self._go_on(self._pausing)

    def lock(self) -> None:
        """From here on the log stands still. Raises `DatabaseUnusable` if somebody else keeps it locked."""
        try:
            self._go_on(self._locking)
            self.connection.execute(_HEAD.with_for_update())
        except OperationalError as error:
            line = str(error.orig).partition("\n")[0]
            raise DatabaseUnusable(
                f"the ledger could not be locked ({line}); its projections are as they were: try again"
            ) from error

    def _go_on(self, statements: Sequence[str]) -> None:
        # In words, past SQLAlchemy, which would give the connection back with its transaction.
        for statement in statements:
            self.connection.exec_driver_sql(statement)

    def switch(self) -> None:
        """Make the ledger's projections, checkpoints included, equal to these."""
        for table in _TABLES:
            for statement in _replacing(table, self._own, self._live):
                self.connection.exec_driver_sql(statement)

    def drop(self) -> None:
        """Take the tables away, where the connection outlives them."""
        for table in _TABLES:
            self._define(DropTable(table))


def _replacing(table: Table, own: str, live: str) -> tuple[str, str]:
    """Delete every row of the live table that has no equal in the other one, then insert what is missing."""
    keys = [column.name for column in table.primary_key.columns]
    names = [column.name for column in table.columns]
    same_key = [f"made.{name} = kept.{name}" for name in keys]
    equal = " AND ".join([*same_key, *(f"made.{n} IS NOT DISTINCT FROM kept.{n}" for n in names if n not in keys)])
    columns = ", ".join(names)
    made, kept = f"{own}.{table.name} AS made", f"{live}.{table.name} AS kept"
    without_equal = f"NOT EXISTS (SELECT 1 FROM {made} WHERE {equal})"  # noqa: S608
    missing = f"NOT EXISTS (SELECT 1 FROM {kept} WHERE {' AND '.join(same_key)})"  # noqa: S608
    rows = f"SELECT {columns} FROM {made} WHERE {missing} ORDER BY {', '.join(keys)}"  # noqa: S608
    return f"DELETE FROM {kept} WHERE {without_equal}", f"INSERT INTO {live}.{table.name} ({columns}) {rows}"  # noqa: S608


def beside(database: Database) -> AbstractContextManager[Shadow]:
    """A shadow of the ledger's projections. What was switched is committed on a clean exit, otherwise nothing is.

    Raises `DatabaseUnusable` where another rebuild has one, and where this user could not write in the end.
    """
    if not isinstance(database, SQLiteDatabase):
        return _in_a_session(database)
    return _in_a_file(database, Path(database.path)) if database.path else _in_memory(database)


@contextmanager
def _in_memory(database: Database) -> Iterator[Shadow]:
    with database.write() as connection:
        shadow = Shadow(database, connection, own="temp", live="main")
        yield shadow
        shadow.drop()


@contextmanager
def _in_a_file(database: Database, ledger: Path) -> Iterator[Shadow]:
    with database.write() as connection:  # who may not write learns it now, not after the work
        patience = connection.exec_driver_sql("PRAGMA busy_timeout").scalar_one()
    file = ledger.with_name(f"{ledger.name}-rebuild-tables")
    with (
        _alone(ledger),
        _for_now(file),
        closing(SQLiteDatabase(f"sqlite:///{file}")) as own,
        own.read() as connection,
    ):
        run = connection.exec_driver_sql
        run("COMMIT")
        # What a crash leaves of this file is thrown away: nothing of it need ever reach the disk.
        for pragma in ("journal_mode=MEMORY", "synchronous=OFF", f"busy_timeout={patience}"):
            run(f"PRAGMA {pragma}").close()
        run("ATTACH DATABASE ? AS ledger", (str(ledger),))
        for pragma in ("synchronous=FULL", "cache_size=-65536"):
            run(f"PRAGMA ledger.{pragma}").close()
        run("BEGIN")
        pausing, locking = ("COMMIT", "BEGIN"), ("COMMIT", "BEGIN IMMEDIATE")
        yield Shadow(own, connection, own="main", live="ledger", pausing=pausing, locking=locking)


@contextmanager
def _alone(ledger: Path) -> Iterator[None]:
    """Hold a lock that a process loses when it ends, in whatever way."""
    file = ledger.with_name(f"{ledger.name}-rebuild")
    with ExitStack() as held:
        try:
            connection = held.enter_context(closing(driver.connect(file, timeout=0, isolation_level=None)))
            connection.execute("BEGIN IMMEDIATE")
        except driver.DatabaseError as error:
            reason = _ALREADY if "locked" in str(error) else f"cannot be rebuilt: {file}: {error}"
            raise DatabaseUnusable(f"{ledger} {reason}") from None
        held.callback(file.unlink, missing_ok=True)
        held.callback(connection.close)
        yield


@contextmanager
def _for_now(file: Path) -> Iterator[None]:
    """The file is not there before, whatever a killed process left of it, nor afterwards."""
    file.unlink(missing_ok=True)
    try:
        yield
    finally:
        file.unlink(missing_ok=True)


@contextmanager
def _in_a_session(database: Database) -> Iterator[Shadow]:
    with ExitStack() as afterwards, database.write() as connection:
        connection.execute(_HEAD.with_for_update())  # who may not write learns it now, not after the work
        if not connection.scalar(text("SELECT has_database_privilege(current_database(), 'TEMPORARY')")):
            raise DatabaseUnusable(
                f"{database.url}: this user may not make the temporary tables that a rebuild needs; "
                "GRANT TEMPORARY ON DATABASE to it"
            )
        live = str(connection.scalar(_LIVE))
        # The session is ours, and ends here: SQLAlchemy would not see to that if it was interrupted.
        connection.detach()
        session: Any = connection.connection.dbapi_connection
        afterwards.enter_context(closing(session))
        if not connection.scalar(_TRY_LOCK, {"schema": live, "key": schema.APPLICATION_ID}):
            raise DatabaseUnusable(f"{database.url} {_ALREADY}")
        connection.execute(_SETTINGS)
        shadow = Shadow(database, connection, own="pg_temp", live=live, pausing=_CHAIN, locking=_CHAIN)
        shadow.pause()
        yield shadow
        # All but the commit is done, and the server learns of a closed session later than the next rebuild may come.
        connection.execute(_UNLOCK)
