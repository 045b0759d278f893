"""Rebuilding while others append and read, and dying of it: the same on every database."""

from __future__ import annotations

import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractContextManager, ExitStack, contextmanager
from itertools import count
from pathlib import Path
from typing import Any

import msgspec
import psycopg
import pytest
from sqlalchemy import Engine, delete, event, make_url, select, update

from ledger import Ledger, NewEvent, schema
from ledger.backends import Database, open_database
from ledger.backends.postgres import PostgresDatabase
from ledger.backends.sqlite import SQLiteDatabase
from ledger.errors import DatabaseUnusable
from ledger.events import ConfigChanged
from ledger.migrate import upgrade
from ledger.rebuild import rebuild
from ledger.verify import verify
from tests.support import postgres
from tests.support.clock import NOON
from tests.support.history import History
from tests.support.ledgers import dump
from tests.support.mixed import mixed_history
from tests.support.mortal import Death
from tests.support.permissions import public_folder, unprivileged

ROOT = Path(__file__).resolve().parents[2]
PORTION = 20
BODY = ConfigChanged(version="1", config=msgspec.Raw(b"{}"))


@pytest.fixture(autouse=True)
def _small_portions(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("ledger.replay.PORTION", PORTION)


@pytest.fixture
def ledger(database: Database) -> Ledger:
    """About sixty events, something in every projection table, and all of it damaged."""
    return damaged(Ledger(database))


@pytest.fixture
def shared(shared_url: str) -> Iterator[Ledger]:
    """The same, where others can open it."""
    database = open_database(shared_url)
    upgrade(database)
    yield damaged(Ledger(database))
    database.close()


def damaged(ledger: Ledger) -> Ledger:
    ledger.append(mixed_history(History()).take())
    with ledger.database.write() as connection:
        connection.execute(update(schema.requests).values(size=schema.requests.c.size + 1))
        connection.execute(delete(schema.request_states).where(schema.request_states.c.status == "succeeded"))
        connection.execute(update(schema.usage_rollups).values(output=7))
        connection.execute(schema.tag_values.insert().values(tag="never", value="seen"))
        connection.execute(update(schema.projections).values(version=0))
    return ledger


@contextmanager
def other(url: str) -> Iterator[Ledger]:
    """The ledger, as another process has it."""
    database = open_database(url)
    yield Ledger(database)
    database.close()


def note(ledger: Ledger, stream: str, version: int) -> None:
    ledger.append([NewEvent(f"config/{stream}", version, BODY, ledger.ids.new(), NOON)])


def at_first(*actions: Callable[[], object]) -> Callable[[int, int], None]:
    """Progress that does one of these things after each of the first portions, while nothing is locked."""
    left = iter(actions)

    def told(_done: int, _total: int) -> None:
        next(left, lambda: None)()

    return told


def never(_done: int, _total: int) -> None:
    """Progress of a rebuild that should not have begun."""
    pytest.fail("it began all the same")


# --- others go on --------------------------------------------------------------------------------------------


def test_what_is_appended_meanwhile_is_folded_too(shared: Ledger, shared_url: str) -> None:
    before = shared.head().position
    with other(shared_url) as appender:
        appends = [lambda version=version: note(appender, "a", version) for version in (1, 2)]
        assert rebuild(shared.database, at_first(*appends)) == before + 2
    assert verify(shared.database).problems == ()


def test_threads_append_without_being_refused(shared: Ledger, shared_url: str) -> None:
    def append(stream: str) -> None:
        with other(shared_url) as ledger:
            for version in range(1, 41):
                note(ledger, stream, version)

    with ThreadPoolExecutor(2) as pool:
        appending = [pool.submit(append, stream) for stream in ("a", "b")]
        rebuilds = 0
        while not all(one.done() for one in appending) or not rebuilds:
            rebuild(shared.database)
            rebuilds += 1
        for one in appending:
            one.result()
    rebuild(shared.database)
    assert verify(shared.database).problems == ()


@pytest.mark.parametrize("looked", [False, True], ids=["before its first look", "after its first look"])
def test_a_reader_keeps_the_rows_of_its_moment(shared: Ledger, shared_url: str, looked: bool) -> None:
    sizes = select(schema.requests.c.size)
    with shared.read() as connection:
        old = connection.scalars(sizes).all()
    with other(shared_url) as reader, reader.read() as connection:
        connection.execute(sizes if looked else select(schema.ledger_head)).all()
        rebuild(shared.database)
        assert connection.scalars(sizes).all() == old
        assert set(connection.scalars(select(schema.projections.c.version))) == {0}
    assert {row["size"] for row in dump(shared.database)["requests"]} == {200}
    assert set(old) == {201}
    assert verify(shared.database).problems == ()


def test_rows_that_are_right_are_left_alone(shared: Ledger) -> None:
    rebuild(shared.database)
    written: list[int] = []

    def look(_connection: Any, cursor: Any, statement: str, *_: Any) -> None:
        if statement.startswith(("DELETE FROM", "INSERT INTO")) and "NOT EXISTS" in statement:
            written.append(cursor.rowcount)

    with listening("after_cursor_execute", look):
        rebuild(shared.database)
    assert written == [0] * 2 * (len(schema.PROJECTION_TABLES) + 1)


# --- one at a time -------------------------------------------------------------------------------------------


def test_a_second_rebuild_is_refused(shared: Ledger, shared_url: str) -> None:
    def again() -> None:
        with other(shared_url) as second, pytest.raises(DatabaseUnusable, match="is being rebuilt by somebody else"):
            rebuild(second.database)

    rebuild(shared.database, at_first(again))
    assert verify(shared.database).problems == ()
    rebuild(shared.database)


def test_a_ledger_that_stays_locked_is_left_as_it_was(shared: Ledger, shared_url: str) -> None:
    hasty = (
        SQLiteDatabase(shared_url, busy_seconds=0.02)
        if shared_url.startswith("sqlite")
        else PostgresDatabase(shared_url, lock_timeout="20ms")
    )
    before = dump(shared.database)
    with ExitStack() as held:

        def hold() -> None:
            connection = held.enter_context(shared.database.write())
            connection.execute(select(schema.ledger_head).with_for_update())

        with pytest.raises(DatabaseUnusable, match=r"could not be locked \(.*\); its projections are as they were"):
            rebuild(hasty, at_first(hold))
    assert dump(shared.database) == before
    rebuild(hasty)
    hasty.close()
    assert verify(shared.database).problems == ()


# --- dying ---------------------------------------------------------------------------------------------------


@contextmanager
def listening(name: str, listener: Callable[..., None]) -> Iterator[None]:
    event.listen(Engine, name, listener)
    try:
        yield
    finally:
        event.remove(Engine, name, listener)


class Trouble(Exception):
    """What no statement was expected to meet."""


def stopping_at(statement: int, error: type[BaseException]) -> AbstractContextManager[None]:
    """Whoever gets to this statement, counted from 1, gets the error instead."""
    numbers = count(1)

    def stop(*_: Any) -> None:
        if next(numbers) == statement:
            raise error

    return listening("before_cursor_execute", stop)


def stop_at_every(step: int, first: int, ledger: Ledger, error: type[BaseException]) -> None:
    """Rebuild until it is not stopped any more, ever further on. Each time everything has to be as it was."""
    before = dump(ledger.database)
    for statement in count(first, step):
        try:
            with stopping_at(statement, error):
                rebuild(ledger.database)
        except error:
            assert dump(ledger.database) == before
        else:
            break
    assert statement > 60
    assert verify(ledger.database).problems == ()


@pytest.mark.parametrize("first", [1, 9])
def test_wherever_it_fails_nothing_has_changed(ledger: Ledger, first: int) -> None:
    stop_at_every(16, first, ledger, Trouble)


def test_wherever_it_dies_nothing_stays_locked(shared: Ledger) -> None:
    stop_at_every(21, 5, shared, Death)


@pytest.mark.parametrize("statement", ["INSERT INTO outcome_rollups", "cache_prefixes AS kept"])
def test_a_killed_process_leaves_nothing_behind(shared: Ledger, shared_url: str, statement: str) -> None:
    """Killed while it folds, or in the middle of the switch."""
    before = dump(shared.database)
    killed = subprocess.run([sys.executable, "-m", "tests.support.rebuilder", shared_url, statement], cwd=ROOT)
    assert killed.returncode == -signal.SIGKILL
    assert dump(shared.database) == before
    note(shared, "a", 1)
    while True:
        try:
            rebuild(shared.database)
            break
        except DatabaseUnusable:  # Postgres has not noticed yet that its client is gone
            time.sleep(0.01)
    assert verify(shared.database).problems == ()
    if shared_url.startswith("sqlite"):
        file = Path(shared_url.removeprefix("sqlite:///"))
        assert not list(file.parent.glob("*-rebuild*"))


def test_what_an_earlier_rebuild_left_is_cleared_away(tmp_path: Path) -> None:
    tables = tmp_path / "ledger.db-rebuild-tables"
    with Ledger.open(f"sqlite:///{tmp_path / 'ledger.db'}") as ledger:
        damaged(ledger)
        tables.write_bytes(b"half a page")
        (tmp_path / "ledger.db-rebuild").touch()
        rebuild(ledger.database)
        assert verify(ledger.database).problems == ()
    assert [file.name for file in tmp_path.iterdir()] == ["ledger.db"]


def test_a_lock_file_that_is_none_is_named(tmp_path: Path) -> None:
    stranger = tmp_path / "ledger.db-rebuild"
    stranger.write_text("somebody's notes " * 100)
    reason = r"cannot be rebuilt: .*ledger\.db-rebuild: file is not a database"
    with Ledger.open(f"sqlite:///{tmp_path / 'ledger.db'}") as ledger, pytest.raises(DatabaseUnusable, match=reason):
        rebuild(ledger.database, never)
    assert stranger.read_text().startswith("somebody's notes")


# --- who may -------------------------------------------------------------------------------------------------


@pytest.fixture
def guest() -> Iterator[tuple[Ledger, psycopg.Connection]]:
    """A Postgres ledger for somebody who may read it, and its owner's connection."""
    url = postgres.fresh_database()
    plain = make_url(url).set(drivername="postgresql").render_as_string(hide_password=False)
    with Ledger.open(url) as ledger:
        damaged(ledger)
    with psycopg.connect(plain, autocommit=True) as owner, other(postgres.guest(url)) as guest:
        owner.execute(f"GRANT SELECT ON ALL TABLES IN SCHEMA public TO {postgres.GUEST}")
        yield guest, owner


def test_who_may_only_read_is_told_at_once(guest: tuple[Ledger, psycopg.Connection]) -> None:
    with pytest.raises(DatabaseUnusable, match="permission denied for table ledger_head"):
        rebuild(guest[0].database, never)


def test_who_may_make_no_temporary_tables_is_told_at_once(guest: tuple[Ledger, psycopg.Connection]) -> None:
    ledger, owner = guest
    owner.execute(f"GRANT ALL ON ALL TABLES IN SCHEMA public TO {postgres.GUEST}")
    owner.execute(f"REVOKE TEMPORARY ON DATABASE {owner.info.dbname} FROM PUBLIC")
    with pytest.raises(DatabaseUnusable, match="GRANT TEMPORARY ON DATABASE"):
        rebuild(ledger.database, never)


def test_who_may_write_rows_may_rebuild_whatever_their_path(guest: tuple[Ledger, psycopg.Connection]) -> None:
    ledger, owner = guest
    owner.execute(f"GRANT ALL ON ALL TABLES IN SCHEMA public TO {postgres.GUEST}")
    owner.execute(f"ALTER ROLE {postgres.GUEST} IN DATABASE {owner.info.dbname} SET search_path = public, pg_temp")
    rebuild(ledger.database)
    assert verify(ledger.database).problems == ()


def test_a_file_that_cannot_be_written_is_told_at_once() -> None:
    with public_folder() as folder:
        database = open_database(f"sqlite:///{folder / 'ledger.db'}")
        upgrade(database)
        damaged(Ledger(database))
        database.close()
        folder.chmod(0o555)
        with unprivileged(), pytest.raises(DatabaseUnusable, match="is read-only"):
            rebuild(database, never)
        database.close()
