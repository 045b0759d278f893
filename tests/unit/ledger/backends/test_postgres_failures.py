"""What can be wrong with a Postgres server: one clear line each, never a password in it, and nothing half stored."""

from __future__ import annotations

from collections.abc import Iterator

import psycopg
import pytest
from psycopg import errors
from sqlalchemy import Connection, make_url, text
from sqlalchemy.exc import DBAPIError

from ledger import Ledger
from ledger.backends import Database
from ledger.backends.postgres import PostgresDatabase
from ledger.clock import SystemClock
from ledger.errors import ConfigurationError, DatabaseUnavailable, DatabaseUnusable
from ledger.store import EventStore
from ledger.verify import verify
from tests.support import postgres
from tests.support.history import History

SECRET = "hunter2"


@pytest.fixture
def url() -> str:
    return postgres.fresh_database()


@pytest.fixture
def ledger(url: str) -> Iterator[Ledger]:
    """In Postgres, whatever the other tests of this run live in."""
    with Ledger.open(url) as ledger:
        yield ledger


@pytest.fixture
def stranger(url: str) -> Iterator[psycopg.Connection]:
    """Another program's connection."""
    plain = make_url(url).set(drivername="postgresql").render_as_string(hide_password=False)
    with psycopg.connect(plain, autocommit=True) as connection:
        yield connection


@pytest.fixture
def history() -> History:
    """One event to append, which no projection looks at."""
    history = History()
    history.configure()
    return history


def refusal_of(url: str) -> str:
    with pytest.raises(ConfigurationError) as refusal:
        Ledger.open(url)
    return one_line(refusal)


def one_line(refusal: pytest.ExceptionInfo[ConfigurationError]) -> str:
    message = str(refusal.value)
    assert "\n" not in message
    assert SECRET not in message
    return message


# --- never reached -------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("url", "reason"),
    [
        (f"postgresql://me:{SECRET}@127.0.0.1:1/db", "Connection refused"),
        (f"postgresql:///db?host=/no/such/folder&user=me&password={SECRET}", "No such file or directory"),
        (f"postgresql://me:{SECRET}@host.invalid/db", "host.invalid"),
        (f"postgresql://me:{SECRET}@127.0.0.1:1/db?sslmode=perhaps", "invalid sslmode"),
        (f"postgresql://me:{SECRET}@127.0.0.1:1/db?colour=red", 'invalid connection option "colour"'),
        (f"postgresql://me:{SECRET}@127.0.0.1:99999/db", "invalid port number"),
        (f"postgresql://me:{SECRET}@127.0.0.1:port/db", "LLM_LEDGER_DATABASE_URL is not a database URL"),
    ],
)
def test_a_server_that_cannot_be_reached(url: str, reason: str) -> None:
    assert reason in refusal_of(url)


def test_a_database_that_is_not_there(url: str) -> None:
    absent = make_url(url).set(database="nowhere").render_as_string(hide_password=False)
    assert 'database "nowhere" does not exist' in refusal_of(absent)


def test_a_wrong_password(url: str) -> None:
    assert f'password authentication failed for user "{postgres.GUEST}"' in refusal_of(postgres.guest(url, SECRET))


# --- not for writing -----------------------------------------------------------------------------------------


def assert_only_for_reading(ledger: Ledger, history: History, reason: str) -> None:
    head = ledger.head()
    with pytest.raises(DatabaseUnusable, match=reason) as refusal:
        ledger.append(history.take())
    one_line(refusal)
    assert ledger.head() == head
    assert verify(ledger.database).sound


def test_a_role_that_may_only_read(url: str, ledger: Ledger, stranger: psycopg.Connection, history: History) -> None:
    guest = postgres.guest(url)
    assert "permission denied for table alembic_version" in refusal_of(guest)
    stranger.execute(f"GRANT SELECT ON ALL TABLES IN SCHEMA public TO {postgres.GUEST}")
    with Ledger.open(guest) as reader:
        assert_only_for_reading(reader, history, "permission denied for table ledger_head")


def test_a_database_that_takes_no_writes(
    url: str, ledger: Ledger, stranger: psycopg.Connection, history: History
) -> None:
    stranger.execute(f"ALTER DATABASE {make_url(url).database} SET default_transaction_read_only = on")
    with Ledger.open(url) as reader:
        assert_only_for_reading(reader, history, "cannot be written: cannot execute .* in a read-only transaction")


def test_a_head_that_somebody_keeps_locked(
    url: str, ledger: Ledger, stranger: psycopg.Connection, history: History
) -> None:
    database = PostgresDatabase(url, lock_timeout="20ms")
    store = EventStore(database, SystemClock())
    events = history.take()
    with stranger.transaction():
        stranger.execute("SELECT * FROM ledger_head FOR UPDATE")
        with pytest.raises(DatabaseUnavailable, match="was locked by another process for 20ms") as refusal:
            store.append(events)
        one_line(refusal)
        assert store.head().position == 1
    assert store.append(events) == [2]
    database.close()


# --- for the moment, or for good --------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("error", "passes", "lost"),
    [
        (errors.AdminShutdown, True, True),
        (errors.CannotConnectNow, True, True),
        (errors.CrashShutdown, True, True),
        (errors.ConnectionFailure, True, True),
        (errors.DeadlockDetected, True, True),
        (errors.SerializationFailure, True, True),
        (errors.IdleInTransactionSessionTimeout, True, True),
        (errors.DiskFull, True, False),
        (errors.TooManyConnections, True, False),
        (errors.QueryCanceled, True, False),
        (errors.IoError, True, False),
        (errors.LockNotAvailable, True, False),
        (errors.DatabaseDropped, False, False),
        (errors.InvalidPassword, False, False),
        (errors.InsufficientPrivilege, False, False),
        (errors.ReadOnlySqlTransaction, False, False),
        (errors.ProgramLimitExceeded, False, False),
        (psycopg.InterfaceError, True, True),
        (psycopg.OperationalError, True, True),
    ],
)
def test_what_may_pass_is_told_from_what_lasts(error: type[psycopg.Error], passes: bool, lost: bool) -> None:
    database = PostgresDatabase("postgresql://me@host/db")
    with pytest.raises(DatabaseUnusable) as refusal, database._translated():
        raise error("what the server says")
    assert isinstance(refusal.value, DatabaseUnavailable) == passes
    assert getattr(refusal.value, "lost", False) == lost
    database.close()


@pytest.mark.parametrize("url", ["postgresql://me@127.0.0.1:1/db", "postgresql:///db?host=/no/such/folder&user=me"])
def test_a_server_that_is_not_there_may_come_back(url: str) -> None:
    with pytest.raises(DatabaseUnavailable):
        Ledger.open(url)


def test_a_database_or_a_password_that_is_wrong_stays_wrong(url: str) -> None:
    for wrong in (make_url(url).set(database="nowhere").render_as_string(False), postgres.guest(url, SECRET)):
        with pytest.raises(DatabaseUnusable) as refusal:
            Ledger.open(wrong)
        assert not isinstance(refusal.value, DatabaseUnavailable)


# --- gone ----------------------------------------------------------------------------------------------------


def end(stranger: psycopg.Connection, connection: Connection) -> None:
    """End a session as an administrator would, and wait until it is over."""
    process = connection.scalar(text("SELECT pg_backend_pid()"))
    assert stranger.execute("SELECT pg_terminate_backend(%s, 5000)", (process,)).fetchone() == (True,)


@pytest.mark.parametrize("size", [1, 500], ids=["by INSERT", "by COPY"])
def test_a_server_that_goes_away_in_the_middle_of_an_append(
    ledger: Ledger, stranger: psycopg.Connection, size: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    history = History()
    for _ in range(size):
        history.configure()
    events = history.take()
    before = ledger.head()
    monkeypatch.setattr("ledger.store.AGAIN_AFTER", ())
    with pytest.raises(DatabaseUnavailable) as refusal:
        ledger.append(events, guard=lambda connection: end(stranger, connection))
    assert "connection" in one_line(refusal)
    assert ledger.head() == before
    assert ledger.append(events) == list(range(2, size + 2))
    assert verify(ledger.database).sound


def test_a_server_that_goes_away_under_a_reader(ledger: Ledger, stranger: psycopg.Connection) -> None:
    def read() -> None:
        with ledger.read() as connection:
            end(stranger, connection)
            connection.scalar(text("SELECT 1"))

    with pytest.raises(DatabaseUnavailable, match="terminating connection") as refusal:
        read()
    one_line(refusal)
    assert ledger.head().position == 1


def test_a_server_that_was_restarted_between_appends(
    ledger: Ledger, stranger: psycopg.Connection, history: History
) -> None:
    others = "FROM pg_stat_activity WHERE datname = current_database() AND pid <> pg_backend_pid()"
    assert stranger.execute(f"SELECT bool_and(pg_terminate_backend(pid, 5000)) {others}").fetchone() == (True,)
    assert ledger.append(history.take()) == [2]


def test_an_error_nobody_explains_stays_what_it_is(ledger: Ledger) -> None:
    with pytest.raises(DBAPIError, match='relation "absent" does not exist'), ledger.read() as connection:
        connection.execute(text("SELECT * FROM absent"))


def test_what_fails_is_rolled_back_and_the_next_one_works(ledger: Ledger, history: History) -> None:
    def fail(database: Database) -> None:
        with database.write() as connection:
            connection.execute(text("DELETE FROM ledger_head"))
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        fail(ledger.database)
    assert ledger.append(history.take()) == [2]
