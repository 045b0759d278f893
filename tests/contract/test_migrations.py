"""Migrations on every database: the old schema or the new one, never one between, whoever else comes and goes."""

from __future__ import annotations

import signal
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import text

from ledger import Ledger, migrate, schema
from ledger.backends import Database, open_database
from ledger.errors import DatabaseUnusable
from ledger.rebuild import rebuild
from ledger.verify import verify
from tests.golden.frozen import FOLDER, insert, lines_of
from tests.support import postgres
from tests.support.ledgers import dump
from tests.support.migrations import downgrade, everything
from tests.support.mortal import Death
from tests.support.statements import at_statement, before_each

ROOT = Path(__file__).resolve().parents[2]
HEAD = schema.REVISIONS[-1]

Migration = Callable[[Database], object]
Absent = Callable[[], str]


@pytest.fixture(params=["sqlite", "postgres"])
def absent(request: pytest.FixtureRequest, tmp_path: Path) -> Absent:
    """URLs where nothing is yet."""
    numbers = iter(range(9))

    def absent() -> str:
        if request.param == "postgres":
            return postgres.fresh_database(empty=True)
        return f"sqlite:///{tmp_path / f'ledger-{next(numbers)}.db'}"

    return absent


@pytest.fixture
def opened() -> Iterator[Callable[[str], Database]]:
    """Databases, closed after the test."""
    made: list[Database] = []

    def opened(url: str) -> Database:
        made.append(open_database(url))
        return made[-1]

    yield opened
    for database in made:
        database.close()


@pytest.fixture
def database(absent: Absent, opened: Callable[[str], Database]) -> Database:
    return opened(absent())


def die() -> None:
    raise Death


def statements(migration: Migration, database: Database) -> int:
    """How many statements a migration sends; it is done then."""
    sent: list[str] = []
    with before_each(sent.append):
        migration(database)
    assert sent[-1] == "COMMIT"
    return len(sent)


def assert_whole_or_nothing(migration: Migration, database: Database, count: int) -> None:
    before = everything(database)
    for number in range(1, count + 1):
        with pytest.raises(Death), at_statement(number, die):
            migration(database)
        assert everything(database) == before, number


def assert_usable(url: str) -> None:
    with Ledger.open(url) as ledger:
        assert ledger.head().position == 1
        assert verify(ledger.database).problems == ()


# --- there and back ------------------------------------------------------------------------------------------


def test_up_and_down_and_up(database: Database) -> None:
    assert migrate.upgrade(database) == (None, HEAD)
    new = everything(database)
    downgrade(database)
    kept = {name for _, name in everything(database)} - {"alembic_version_pkc", "application_id"}
    assert {name.partition(".")[0] for name in kept} - {"alembic_version_version_num_not_null"} == {"alembic_version"}
    assert migrate.upgrade(database) == (None, HEAD)
    assert everything(database) == new
    assert migrate.upgrade(database) == (HEAD, HEAD)
    assert everything(database) == new


def test_a_downgrade_takes_the_marks_of_a_ledger_off_the_file(tmp_path: Path, opened: Any) -> None:
    database = opened(f"sqlite:///{tmp_path / 'ledger.db'}")
    migrate.upgrade(database)
    assert everything(database)["pragma", "application_id"] == str(schema.APPLICATION_ID)
    downgrade(database)
    assert everything(database)["pragma", "application_id"] == "0"


# --- death ---------------------------------------------------------------------------------------------------


def test_an_upgrade_that_dies_at_any_statement_leaves_nothing(absent: Absent, opened: Any) -> None:
    another, url = opened(absent()), absent()
    count = statements(migrate.upgrade, another)
    assert count > 30
    database = opened(url)
    assert_whole_or_nothing(migrate.upgrade, database, count)
    migrate.upgrade(database)
    assert everything(database) == everything(another)
    assert_usable(url)


def test_a_downgrade_that_dies_at_any_statement_leaves_everything(absent: Absent, opened: Any) -> None:
    another, url = opened(absent()), absent()
    database = opened(url)
    migrate.upgrade(another)
    migrate.upgrade(database)
    count = statements(downgrade, another)
    assert count > 20
    assert_whole_or_nothing(downgrade, database, count)
    assert_usable(url)
    downgrade(database)
    assert everything(database) == everything(another)


@pytest.mark.parametrize("direction", ["up", "down"])
def test_killed_it_leaves_the_schema_that_was_there(absent: Absent, opened: Any, direction: str) -> None:
    another, url = opened(absent()), absent()
    database = opened(url)
    if direction == "down":
        migrate.upgrade(another)
        migrate.upgrade(database)
    migration = migrate.upgrade if direction == "up" else downgrade
    count = statements(migration, another)
    before = everything(database)
    database.close()
    moments = [1, count // 3, count // 2, 2 * count // 3, count - 1, count]
    assert killed(url, direction, moments) == [signal.SIGKILL] * len(moments)
    assert everything(database) == before
    assert killed(url, direction, [count + 1]) == [0]
    assert everything(database) == everything(another)
    migrate.upgrade(database)
    assert_usable(url)


def killed(url: str, direction: str, moments: list[int]) -> list[int]:
    """How migrations ended that were to be killed at these statements."""
    done = subprocess.run(
        [sys.executable, "-m", "tests.support.dying_migration", url, direction],
        cwd=ROOT,
        input="".join(f"{moment}\n" for moment in moments),
        capture_output=True,
        text=True,
        timeout=60,
        check=True,
    )
    return [int(line) for line in done.stdout.split()]


@pytest.mark.parametrize("older", schema.REVISIONS[:-1])
def test_a_ledger_of_an_older_schema_is_upgraded_with_all_it_holds(absent: Absent, opened: Any, older: str) -> None:
    url = absent()
    database = opened(url)
    migrate.upgrade(database)
    insert(database, lines_of(FOLDER / older))
    rebuild(database)
    expected, new = dump(database), everything(database)
    downgrade(database, older)
    with pytest.raises(DatabaseUnusable, match=f"this ledger has schema {older}.* run `llm-ledger init` to upgrade"):
        Ledger.open(url)
    old = everything(database)
    for number in range(1, 99):
        try:
            with at_statement(number, die):
                assert migrate.upgrade(database) == (older, HEAD)
            break
        except Death:
            assert everything(database) == old
    assert set(everything(database)) == set(new)  # a column that went and came again stands elsewhere
    assert dump(database) == expected
    assert verify(database).problems == ()


# --- company -------------------------------------------------------------------------------------------------


def test_who_comes_in_the_middle_of_an_upgrade_waits_and_finds_it_done(absent: Absent, opened: Any) -> None:
    url = absent()
    database, theirs = opened(url), opened(url)
    waiting = threading.Event()
    found: list[object] = []
    other = threading.Thread(target=lambda: found.append(migrate.upgrade(theirs)))

    def somebody_comes(statement: str) -> None:
        if "CREATE TABLE leases" in statement:
            other.start()
            assert waiting.wait(20)
        elif threading.current_thread() is other and ("BEGIN IMMEDIATE" in statement or "advisory" in statement):
            waiting.set()

    with before_each(somebody_comes):
        assert migrate.upgrade(database) == (None, HEAD)
        other.join(20)
    assert found == [(HEAD, HEAD)]
    assert_usable(url)


def test_processes_that_set_up_one_ledger_at_once_all_succeed(absent: Absent) -> None:
    url = absent()
    command = [sys.executable, "-m", "tests.support.dying_migration", url, "up"]
    never = "999\n"
    processes = [
        subprocess.Popen(command, cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        for _ in range(3)
    ]
    assert [process.communicate(never, timeout=60)[0] for process in processes] == ["0\n"] * 3
    assert [process.returncode for process in processes] == [0] * 3
    assert_usable(url)


# --- strangers -----------------------------------------------------------------------------------------------


FOREIGN = {
    "other tables": ("CREATE TABLE users (id INTEGER)",),
    "another program's migrations": (
        "CREATE TABLE alembic_version (version_num VARCHAR(32) NOT NULL)",
        "INSERT INTO alembic_version VALUES ('ae1027a6acf')",
        "CREATE TABLE users (id INTEGER)",
    ),
    "another program's migrations, its tables elsewhere": (
        "CREATE TABLE alembic_version (version_num VARCHAR(32) NOT NULL)",
        "INSERT INTO alembic_version VALUES ('ae1027a6acf')",
    ),
}


@pytest.mark.parametrize("foreign", FOREIGN.values(), ids=list(FOREIGN))
def test_a_foreign_database_is_left_alone(database: Database, foreign: tuple[str, ...]) -> None:
    pretend(database, *foreign)
    before = everything(database)
    with pytest.raises(DatabaseUnusable, match=r"holds other tables \(.+\) and no ledger; name another one"):
        migrate.upgrade(database)
    with pytest.raises(DatabaseUnusable, match="holds other tables"):
        migrate.ensure_schema(database, create=True)
    assert everything(database) == before


def test_a_newer_schema_is_left_alone(database: Database) -> None:
    migrate.upgrade(database)
    pretend(database, "UPDATE alembic_version SET version_num = '9999'")
    before = everything(database)
    with pytest.raises(DatabaseUnusable, match=r"schema 9999, which is newer .* upgrade llm-ledger"):
        migrate.upgrade(database)
    assert everything(database) == before


def pretend(database: Database, *sql: str) -> None:
    with database.write() as connection:
        for statement in sql:
            connection.execute(text(statement))
