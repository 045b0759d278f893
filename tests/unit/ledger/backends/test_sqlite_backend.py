"""What is special about SQLite: its files, its locks, its ways to replace a row, its errors in words."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import text
from sqlalchemy.exc import DBAPIError

from ledger import Ledger, schema
from ledger.backends import DuplicateRow, open_database
from ledger.backends.sqlite import SQLiteDatabase, driver
from ledger.errors import DatabaseUnavailable, DatabaseUnusable
from ledger.ids import IdFactory
from ledger.prices import adopt_packaged_prices
from ledger.verify import verify
from tests.support.clock import FakeClock
from tests.support.history import History
from tests.support.ledgers import bare_ledger
from tests.support.mixed import mixed_history
from tests.support.permissions import public_folder, unprivileged
from tests.support.tampering import make_log_writable


@pytest.fixture
def ledger(clock: FakeClock, ids: IdFactory) -> Iterator[Ledger]:
    """In memory, whatever the other tests of this run live in."""
    with bare_ledger(clock, ids, url="sqlite://") as ledger:
        adopt_packaged_prices(ledger)
        yield ledger


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "ledger.db"


@pytest.fixture
def filed(path: Path) -> Iterator[Ledger]:
    with Ledger.open(f"sqlite:///{path}") as ledger:
        yield ledger


def stranger(path: Path) -> Any:
    """Another program's connection. Through the same library: two of them in one process undo each other's locks."""
    return driver.connect(str(path), isolation_level=None)


def one_line(refusal: pytest.ExceptionInfo[DatabaseUnusable]) -> str:
    message = str(refusal.value)
    assert "\n" not in message
    return message


# --- how it is opened ----------------------------------------------------------------------------------------


def test_every_commit_is_synced_to_a_write_ahead_log(filed: Ledger) -> None:
    with filed.read() as connection:
        assert connection.scalar(text("PRAGMA journal_mode")) == "wal"
        assert connection.scalar(text("PRAGMA synchronous")) == 2
        assert connection.scalar(text("PRAGMA application_id")) == schema.APPLICATION_ID


def test_a_sqlite_that_can_corrupt_the_file_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(driver, "sqlite_version_info", (3, 51, 2))
    monkeypatch.setattr(driver, "sqlite_version", "3.51.2")
    with pytest.raises(DatabaseUnusable, match=r"SQLite 3\.51\.2 can corrupt a ledger.*install pysqlite3") as refusal:
        Ledger.open("sqlite://")
    one_line(refusal)
    monkeypatch.setattr(driver, "sqlite_version_info", (3, 51, 3))
    Ledger.open("sqlite://").close()


# --- append-only, by every way SQLite knows ------------------------------------------------------------------

_COLUMNS = [column.name for column in schema.events.columns]


def replacing(**kept: int) -> str:
    """INSERT OR REPLACE of a copy of event 2 that differs from it in all that is unique but what is kept."""
    fresh = {"position": "99", "event_id": "x'00'", "stream_id": "'config/other'"}
    values = [fresh[name] if name in fresh and name not in kept else name for name in _COLUMNS]
    return f"INSERT OR REPLACE INTO events SELECT {', '.join(values)} FROM events WHERE position = 2"


ATTACKS = {
    "replace by position": replacing(position=1),
    "replace by event id": replacing(event_id=1),
    "replace by version": replacing(stream_id=1),
    "update": "UPDATE events SET data = '{}' WHERE position = 2",
    "update or replace": "UPDATE OR REPLACE events SET position = 1 WHERE position = 2",
    "update or ignore": "UPDATE OR IGNORE events SET version = 7",
    "delete": "DELETE FROM events",
    "upsert": replacing(position=1).replace("OR REPLACE ", "") + " ON CONFLICT (position) DO UPDATE SET data = '{}'",
}


@pytest.mark.parametrize("attack", ATTACKS.values(), ids=list(ATTACKS))
def test_no_statement_changes_a_stored_event(ledger: Ledger, history: History, attack: str) -> None:
    history.configure()
    history.configure()
    ledger.append(history.take())
    before = list(ledger.events())
    assert len(before) == 3
    with pytest.raises((DuplicateRow, DBAPIError), match="append-only"), ledger.database.write() as connection:
        connection.execute(text(attack))
    assert list(ledger.events()) == before
    assert verify(ledger.database).sound


def test_another_program_cannot_change_them_either(path: Path, filed: Ledger) -> None:
    other = stranger(path)
    for attack in ("UPDATE events SET data = '{}'", "DELETE FROM events"):
        with pytest.raises(driver.IntegrityError, match="append-only"):
            other.execute(attack)
    other.close()
    assert verify(filed.database).sound


# --- any value in any column ---------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("column", "value"),
    [
        ("version", "'abc'"),
        ("version", "1.5"),
        ("schema_version", "70000"),
        ("event_id", "'0123456789abcdef'"),
        ("causation_id", "'text'"),
        ("data", "cast(data AS BLOB)"),
        ("type", "x'ff'"),
        ("stream_id", "cast(stream_id AS BLOB)"),
        ("body_hash", "'text'"),
        ("hash", "'text'"),
        ("occurred_at", "9e40"),
    ],
)
def test_values_of_other_types_are_found_and_do_not_stop_verification(
    ledger: Ledger, history: History, column: str, value: str
) -> None:
    ledger.append(mixed_history(history).take())
    make_log_writable(ledger.database)
    with ledger.database.write() as connection:
        connection.execute(text(f"UPDATE events SET {column} = {value} WHERE position = 7"))
    assert any("event 7" in line for line in verify(ledger.database).problems)


def test_a_projection_of_other_types_is_found(ledger: Ledger, history: History) -> None:
    ledger.append(mixed_history(history).take())
    with ledger.database.write() as connection:
        connection.execute(text("UPDATE tag_values SET value = cast(value AS BLOB)"))
    assert any("tag_values" in line for line in verify(ledger.database).problems)


# --- what can be wrong with a file ---------------------------------------------------------------------------


def test_a_file_that_is_no_database(path: Path) -> None:
    path.write_bytes(b"Once upon a time there was a ledger. " * 100)
    with pytest.raises(DatabaseUnusable, match=r"ledger\.db is not a SQLite database") as refusal:
        Ledger.open(f"sqlite:///{path}")
    one_line(refusal)


def test_a_directory_is_no_database(tmp_path: Path) -> None:
    with pytest.raises(DatabaseUnusable, match="cannot be opened; check that its directory exists") as refusal:
        Ledger.open(f"sqlite:///{tmp_path}")
    assert str(tmp_path) in one_line(refusal)


def test_a_damaged_file(path: Path) -> None:
    Ledger.open(f"sqlite:///{path}").close()
    content = bytearray(path.read_bytes())
    content[8192:] = b"\xff" * (len(content) - 8192)
    path.write_bytes(content)
    with pytest.raises(DatabaseUnusable, match="is damaged; run `llm-ledger verify` on a copy") as refusal:
        Ledger.open(f"sqlite:///{path}")
    one_line(refusal)


def open_and_append(path: Path, history: History) -> None:
    with Ledger.open(f"sqlite:///{path}") as ledger:
        ledger.append(history.take())


def test_a_read_only_file(history: History) -> None:
    history.configure()
    with public_folder() as folder:
        path = folder / "ledger.db"
        Ledger.open(f"sqlite:///{path}").close()
        path.chmod(0o444)
        folder.chmod(0o777)
        with unprivileged(), pytest.raises(DatabaseUnusable, match=r"is read-only; give this user write") as refusal:
            open_and_append(path, history)
        assert str(path) in one_line(refusal)


def test_a_read_only_folder(history: History) -> None:
    history.configure()
    with public_folder() as folder:
        path = folder / "ledger.db"
        Ledger.open(f"sqlite:///{path}").close()
        path.chmod(0o444)
        folder.chmod(0o555)
        with unprivileged(), pytest.raises(DatabaseUnusable, match=r"cannot be opened|is read-only") as refusal:
            open_and_append(path, history)
        assert str(path) in one_line(refusal)


def test_a_file_that_somebody_keeps_locked(path: Path, filed: Ledger) -> None:
    other = stranger(path)
    other.execute("BEGIN IMMEDIATE")
    waiting = SQLiteDatabase(f"sqlite:///{path}", busy_seconds=0.02)
    words = r"is locked by another process, and stayed so for 0\.02 s"
    with pytest.raises(DatabaseUnusable, match=words) as refusal, waiting.write():
        pass
    assert str(path) in one_line(refusal)
    with waiting.read() as connection:
        assert connection.scalar(text("SELECT count(*) FROM events")) == 1
    other.execute("ROLLBACK")
    with waiting.write():
        pass
    waiting.close()
    other.close()


@pytest.mark.parametrize(
    ("symptom", "explanation", "kind"),
    [
        ("attempt to write a readonly database", "is read-only; give this user write access", DatabaseUnusable),
        ("file is not a database", "is not a SQLite database", DatabaseUnusable),
        ("database disk image is malformed", "is damaged", DatabaseUnusable),
        ("unable to open database file", "cannot be opened", DatabaseUnusable),
        ("database or disk is full", "the disk is full; free some space", DatabaseUnavailable),
        ("locking protocol", "is locked by another process, and stayed so for 60 s", DatabaseUnavailable),
        ("database is locked", "is locked by another process, and stayed so for 60 s", DatabaseUnavailable),
        ("disk I/O error", "the disk reports an I/O error", DatabaseUnavailable),
    ],
)
def test_errors_are_put_into_words(symptom: str, explanation: str, kind: type[DatabaseUnusable]) -> None:
    database = open_database("sqlite://")
    with pytest.raises(DatabaseUnusable, match=f"the in-memory ledger .*{explanation}") as refusal, database.read():
        raise DBAPIError("SELECT 1", (), driver.OperationalError(symptom))
    assert type(refusal.value) is kind
    database.close()


def test_an_error_nobody_explains_stays_what_it_is() -> None:
    database = open_database("sqlite://")
    with pytest.raises(DBAPIError, match="no such table: absent"), database.read() as connection:
        connection.execute(text("SELECT * FROM absent"))
    database.close()


# --- transactions --------------------------------------------------------------------------------------------


def test_what_fails_is_rolled_back_and_the_next_one_works(filed: Ledger) -> None:
    def fail() -> None:
        with filed.database.write() as connection:
            connection.execute(text("DELETE FROM ledger_head"))
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        fail()
    assert filed.head().position == 1
    with filed.database.write() as connection:
        connection.execute(text("UPDATE ledger_head SET position = position"))


def test_a_reader_keeps_its_view_while_others_write(filed: Ledger) -> None:
    history = History()
    history.configure()
    count = text("SELECT count(*) FROM events")
    with filed.read() as connection:
        assert connection.scalar(count) == 1
        writer = threading.Thread(target=filed.append, args=(history.take(),))
        writer.start()
        writer.join()
        assert connection.scalar(count) == 1
    with filed.read() as connection:
        assert connection.scalar(count) == 2


# --- bulk statements -----------------------------------------------------------------------------------------

Bulk = Callable[[Any, Any, list[tuple[Any, ...]]], None]


def tag_values(database: SQLiteDatabase) -> list[tuple[Any, ...]]:
    with database.read() as connection:
        return [tuple(row) for row in connection.execute(text("SELECT * FROM anchors ORDER BY position"))]


@pytest.fixture
def database() -> Iterator[SQLiteDatabase]:
    database = SQLiteDatabase("sqlite://")
    with database.write() as connection:
        schema.metadata.create_all(connection)
        database.insert(connection, schema.anchors, [(1, b"a", 10), (2, b"b", 20)])
    yield database
    database.close()


def test_insert_refuses_what_is_there(database: SQLiteDatabase) -> None:
    with pytest.raises(DuplicateRow, match="UNIQUE"), database.write() as connection:
        database.insert(connection, schema.anchors, [(3, b"c", 30), (1, b"x", 0)])
    assert tag_values(database) == [(1, b"a", 10), (2, b"b", 20)]


def test_insert_missing_leaves_alone_what_is_there(database: SQLiteDatabase) -> None:
    with database.write() as connection:
        database.insert_missing(connection, schema.anchors, [(1, b"x", 0), (3, b"c", 30)])
        database.insert_missing(connection, schema.anchors, [])
    assert tag_values(database) == [(1, b"a", 10), (2, b"b", 20), (3, b"c", 30)]


def test_add_sums_onto_what_is_there(database: SQLiteDatabase) -> None:
    table = schema.cache_prefixes
    with database.write() as connection:
        database.add(connection, table, [(b"a", 1), (b"b", 2)])
        database.add(connection, table, [(b"b", 40), (b"c", 3)])
        database.add(connection, table, [])
        assert connection.execute(table.select().order_by(table.c.prefix)).all() == [(b"a", 1), (b"b", 42), (b"c", 3)]
