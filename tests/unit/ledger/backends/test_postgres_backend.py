"""What is special about Postgres: its URLs, its schema, its order of text, its ways to change a row, bulk rows."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import psycopg
import pytest
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext
from sqlalchemy import Table, make_url, select, text

from ledger import Ledger, NewEvent, schema
from ledger.backends import DuplicateRow, open_database
from ledger.backends.postgres import PostgresDatabase
from ledger.clock import Clock
from ledger.errors import InputError
from ledger.events import ConfigChanged
from ledger.ids import IdFactory
from ledger.migrate import upgrade
from ledger.prices import adopt_packaged_prices
from ledger.verify import verify
from tests.support import postgres
from tests.support.clock import NOON
from tests.support.history import History
from tests.support.ledgers import bare_ledger


@pytest.fixture
def url() -> str:
    return postgres.fresh_database()


@pytest.fixture
def ledger(url: str, clock: Any, ids: IdFactory) -> Iterator[Ledger]:
    """In Postgres, whatever the other tests of this run live in."""
    with bare_ledger(clock, ids, url=url) as ledger:
        adopt_packaged_prices(ledger)
        yield ledger


@pytest.fixture
def database(url: str) -> Iterator[PostgresDatabase]:
    database = PostgresDatabase(url)
    yield database
    database.close()


# --- how it is opened ----------------------------------------------------------------------------------------


@pytest.mark.parametrize("scheme", ["postgresql+psycopg", "postgresql", "postgres"])
def test_a_url_may_name_the_driver_or_not(url: str, scheme: str) -> None:
    with Ledger.open(make_url(url).set(drivername=scheme).render_as_string(hide_password=False)) as ledger:
        assert ledger.database.dialect == "postgresql"
        assert ledger.head().position == 1


def test_a_server_may_listen_at_a_unix_socket() -> None:
    server = postgres.socket_server()
    database = open_database(f"postgresql+psycopg:///{server.database}?host={server.query['host']}&user=postgres")
    with database.read() as connection:
        assert connection.scalar(text("SELECT inet_server_addr() IS NULL"))
    database.close()


def test_what_is_shown_of_a_url_holds_no_password() -> None:
    shown = [
        PostgresDatabase(f"postgresql://{rest}").url
        for rest in ("me:secret@host/db", "/db?host=/run&password=secret", "host/db?user=me&sslpassword=secret")
    ]
    assert shown == [
        "postgresql+psycopg://me:***@host/db",
        "postgresql+psycopg:///db?host=%2Frun",
        "postgresql+psycopg://host/db?user=me",
    ]


def test_an_empty_database_is_set_up_by_init_alone() -> None:
    url = postgres.fresh_database(empty=True)
    with pytest.raises(Exception, match="there is no ledger in this database yet; run `llm-ledger init`"):
        Ledger.open(url)
    database = open_database(url)
    assert upgrade(database) == (None, schema.REVISIONS[-1])
    database.close()
    with Ledger.open(url) as ledger:
        assert ledger.head().position == 1


# --- its schema ----------------------------------------------------------------------------------------------

_STRUCTURE = (
    """
    SELECT table_name, column_name, ordinal_position, data_type, collation_name, is_nullable
    FROM information_schema.columns WHERE table_schema = 'public' AND table_name <> 'alembic_version'
    """,
    "SELECT indexdef FROM pg_indexes WHERE schemaname = 'public' AND tablename <> 'alembic_version'",
    "SELECT pg_get_triggerdef(oid) FROM pg_trigger WHERE NOT tgisinternal",
)


def structure(database: PostgresDatabase) -> list[set[tuple[Any, ...]]]:
    with database.read() as connection:
        return [{tuple(row) for row in connection.execute(text(query))} for query in _STRUCTURE]


def test_the_migrations_make_the_schema_that_is_declared(database: PostgresDatabase) -> None:
    with database.read() as connection:
        context = MigrationContext.configure(connection, opts={"compare_type": True})
        assert compare_metadata(context, schema.metadata) == []
    declared = PostgresDatabase(postgres.fresh_database(empty=True))
    with declared.write() as connection:
        schema.metadata.create_all(connection)
        for trigger in schema.append_only_triggers("postgresql"):
            connection.execute(text(trigger))
    assert structure(database) == structure(declared)
    declared.close()


def test_text_is_ordered_by_its_bytes(database: PostgresDatabase) -> None:
    words = ["a", "B", "ä", "Z", "_", "a b", "ab", "a-b", "", "é", "z", "\U0001f642", "\uffee"]
    with database.write() as connection:
        database.insert(connection, schema.tag_values, [("tag", word) for word in words])
        value = schema.tag_values.c.value
        assert list(connection.scalars(select(value).order_by(value))) == sorted(words, key=str.encode)
    columns, _, _ = structure(database)
    assert {column[4] for column in columns if column[3] == "text"} == {"C"}


# --- append-only, by every way Postgres knows ----------------------------------------------------------------

_COPY = "INSERT INTO events SELECT * FROM events WHERE position = 2 "
ATTACKS = {
    "update": "UPDATE events SET data = '{}' WHERE position = 2",
    "update of nothing": "UPDATE events SET data = '{}' WHERE position = 99",
    "delete": "DELETE FROM events",
    "truncate": "TRUNCATE events",
    "truncate cascade": "TRUNCATE events RESTART IDENTITY CASCADE",
    "upsert": _COPY + "ON CONFLICT (position) DO UPDATE SET data = '{}'",
    "upsert by id": _COPY + "ON CONFLICT (event_id) DO UPDATE SET version = 7",
    "merge": "MERGE INTO events USING ledger_head ON events.position = 2 WHEN MATCHED THEN UPDATE SET data = '{}'",
    "merge that deletes": "MERGE INTO events USING ledger_head ON events.position = 2 WHEN MATCHED THEN DELETE",
    "foreign update": "WITH gone AS (DELETE FROM events RETURNING 1) SELECT count(*) FROM gone",
}


@pytest.mark.parametrize("attack", ATTACKS.values(), ids=list(ATTACKS))
def test_no_statement_changes_a_stored_event(url: str, ledger: Ledger, history: History, attack: str) -> None:
    history.configure()
    history.configure()
    ledger.append(history.take())
    before = list(ledger.events())
    assert len(before) == 3
    stranger = make_url(url).set(drivername="postgresql").render_as_string(hide_password=False)
    with psycopg.connect(stranger) as other, pytest.raises(psycopg.Error, match="events are append-only"):
        other.execute(attack)
    assert list(ledger.events()) == before
    assert verify(ledger.database).sound


# --- bulk statements -----------------------------------------------------------------------------------------

SIZES = pytest.mark.parametrize("size", [1, 19, 20, 700])
"""Few rows travel by INSERT, many by COPY."""

Bulk = Callable[[Any, Table, list[tuple[Any, ...]]], None]


def stored(database: PostgresDatabase, table: Table) -> list[tuple[Any, ...]]:
    with database.read() as connection:
        return [tuple(row) for row in connection.execute(select(table).order_by(*table.primary_key.columns))]


@SIZES
def test_every_value_comes_back_as_it_went_in(database: PostgresDatabase, size: int) -> None:
    odd = ("", "\\N", "\\.", "a\tb\nc\rd", "\\", "'\"", "ü🙂", "{1,NULL}", "NULL", "%s %b {among}")
    rows = [
        (
            seq,
            2**31 - 1,
            odd[seq % 10],
            -(2**15),
            -(2**63),
            None,
            None,
            b"",
            odd[-seq % 10],
            "",
            None,
            2**63 - 1,
            "[]",
        )
        for seq in range(size)
    ]
    with database.write() as connection:
        database.insert(connection, schema.request_states, rows)
    assert stored(database, schema.request_states) == rows
    changed = [
        (row[0], 7, "done", 1, None, "b", 2**31 - 1, b"\x00\xff", None, odd[1], odd[2], None, odd[3]) for row in rows
    ]
    with database.write() as connection:
        database.update(connection, schema.request_states, changed[1:])
        database.update(connection, schema.request_states, [])
    assert stored(database, schema.request_states) == [*rows[:1], *changed[1:]]


@SIZES
def test_insert_refuses_what_is_there_and_stores_nothing(database: PostgresDatabase, size: int) -> None:
    rows = [(at, bytes([at % 256]), at) for at in range(size)]
    with database.write() as connection:
        database.insert(connection, schema.anchors, rows)
        database.insert(connection, schema.anchors, [])
    more = [(at + size, b"", 0) for at in range(size)]
    with pytest.raises(DuplicateRow, match="duplicate key"), database.write() as connection:
        database.insert(connection, schema.anchors, [*more, rows[-1]])
    assert stored(database, schema.anchors) == rows


@SIZES
def test_insert_missing_leaves_alone_what_is_there(database: PostgresDatabase, size: int) -> None:
    with database.write() as connection:
        database.insert(connection, schema.anchors, [(0, b"a", 10)])
        database.insert_missing(connection, schema.anchors, [(at, b"x", at) for at in range(size + 1)])
        database.insert_missing(connection, schema.anchors, [])
    assert stored(database, schema.anchors) == [(0, b"a", 10), *((at, b"x", at) for at in range(1, size + 1))]


def test_add_sums_onto_what_is_there(database: PostgresDatabase) -> None:
    table = schema.cache_prefixes
    with database.write() as connection:
        database.add(connection, table, [(b"a", 1), (b"b", 2)])
        database.add(connection, table, [(b"b", 40), (b"c", 3)])
        database.add(connection, table, [])
    assert stored(database, table) == [(b"a", 1), (b"b", 42), (b"c", 3)]


@pytest.mark.parametrize("size", [1, 500])
def test_text_with_a_nul_is_refused_in_words(ledger: Ledger, ids: IdFactory, clock: Clock, size: int) -> None:
    body = ConfigChanged(version="1", config=b"{}")  # type: ignore[arg-type]
    events = [NewEvent("config/a\0", at, body, ids.new(), NOON) for at in range(1, size + 1)]
    with pytest.raises(InputError, match="takes no text with a NUL character in it"):
        ledger.append(events)
    assert ledger.head().position == 1
    with pytest.raises(InputError), ledger.read() as connection:
        connection.execute(select(schema.requests).where(schema.requests.c.custom_id == "a\0")).all()
