"""Whatever is done to a row of the log, to its head or to a projection, `verify` says so.

Here every row meets one tampering and every tampering some rows; each with each in `tests/soak`.
"""

from __future__ import annotations

from collections.abc import Iterator
from itertools import cycle
from typing import Any

import pytest
from sqlalchemy import Table, delete, insert, select, text, update

from ledger import Ledger, schema
from ledger.prices import adopt_packaged_prices
from ledger.verify import verify
from tests.support.history import History
from tests.support.ledgers import bare_ledger
from tests.support.mixed import mixed_history
from tests.support.tampering import TAMPERINGS, Log, make_log_writable, other
from tests.support.thousand import EVENTS, ledger_of_a_thousand

COLUMNS = [column.name for column in schema.events.columns]


@pytest.fixture(scope="module")
def thousand() -> Iterator[Ledger]:
    with ledger_of_a_thousand() as ledger:
        yield ledger


@pytest.fixture(scope="module")
def log(thousand: Ledger) -> Log:
    return Log(thousand)


def assert_found(ledger: Ledger, log: Log, how: str, position: int) -> None:
    with log.tampered(how, position) as concerned:
        found = verify(ledger.database).problems
    places = {at + step for at in concerned for step in (0, 1)}
    expected = [f"event {at}" for at in places] + ["the log ends at event"]
    assert any(line.startswith((f"{start}:", f"{start} ")) for line in found for start in expected), (how, position)


def test_tampering_with_any_row_is_found(thousand: Ledger, log: Log) -> None:
    assert verify(thousand.database).problems == ()
    assert len(log.rows) == EVENTS
    for position, how in zip(range(1, EVENTS + 1), cycle(TAMPERINGS), strict=False):
        assert_found(thousand, log, how, position)
    assert verify(thousand.database).problems == ()


@pytest.mark.parametrize("how", TAMPERINGS)
def test_any_tampering_is_found(thousand: Ledger, log: Log, how: str) -> None:
    for position in (1, 2, EVENTS // 2, EVENTS - 1, EVENTS):
        assert_found(thousand, log, how, position)


@pytest.mark.parametrize("column", ["position", "hash"])
def test_a_tampered_head_is_found(thousand: Ledger, column: str) -> None:
    with thousand.read() as connection:
        head = connection.execute(select(schema.ledger_head)).one()._mapping
    changes: list[Any] = [
        update(schema.ledger_head).values(**{column: other(head[column])}),
        delete(schema.ledger_head),
        insert(schema.ledger_head).values(**{**head, "id": 2, column: other(head[column])}),
    ]
    for change in changes:
        with thousand.database.write() as connection:
            connection.execute(change)
        found = verify(thousand.database).problems
        with thousand.database.write() as connection:
            connection.execute(delete(schema.ledger_head))
            connection.execute(insert(schema.ledger_head).values(**head))
        assert any("head" in line for line in found)
    assert verify(thousand.database).problems == ()


# --- values of another type, which only SQLite keeps ---------------------------------------------------------


@pytest.fixture
def sqlite() -> Iterator[Ledger]:
    with bare_ledger(url="sqlite://") as ledger:
        adopt_packaged_prices(ledger)
        history = History(ledger.clock, ledger.ids)  # type: ignore[arg-type]
        history.starts_after("prices/anthropic", 1)
        ledger.append(mixed_history(history).take())
        make_log_writable(ledger.database)
        yield ledger


def changed(ledger: Ledger, table: str, column: str, value: str, where: str) -> tuple[bool, tuple[str, ...]]:
    """Set a value by an SQL expression, verify, undo: did that change anything, and what was found?"""
    look = f"SELECT typeof({column}), CAST({column} AS BLOB) FROM {table} ORDER BY 2"
    with ledger.database.write() as connection:
        connection.execute(text(f"CREATE TABLE kept AS SELECT * FROM {table}"))
        was = connection.exec_driver_sql(look).all()
        connection.exec_driver_sql(f"UPDATE {table} SET {column} = {value} WHERE {where}")
        changes = connection.exec_driver_sql(look).all() != was
    found = verify(ledger.database).problems
    with ledger.database.write() as connection:
        connection.execute(text(f"DELETE FROM {table}"))
        connection.execute(text(f"INSERT INTO {table} SELECT * FROM kept"))
        connection.execute(text("DROP TABLE kept"))
    return changes, found


@pytest.mark.parametrize("column", COLUMNS[1:])
@pytest.mark.parametrize("kind", ["TEXT", "BLOB", "REAL", "INTEGER"])
def test_the_same_value_as_another_type_is_found(sqlite: Ledger, column: str, kind: str) -> None:
    changes, found = changed(sqlite, "events", column, f"CAST({column} AS {kind})", "position = 7")
    assert bool(found) == changes  # a column of numbers makes a number of '1' again, and nothing was changed then
    assert verify(sqlite.database).problems == ()


@pytest.mark.parametrize("column", COLUMNS)
@pytest.mark.parametrize("kind", ["TEXT", "BLOB", "REAL"])
def test_not_even_a_table_without_types_hides_them(sqlite: Ledger, column: str, kind: str) -> None:
    with sqlite.database.write() as connection:
        connection.execute(text("ALTER TABLE events RENAME TO typed"))
        connection.execute(text(f"CREATE TABLE events ({', '.join(COLUMNS)})"))
        connection.execute(text("INSERT INTO events SELECT * FROM typed"))
    assert verify(sqlite.database).problems == ()
    changes, found = changed(sqlite, "events", column, f"CAST({column} AS {kind})", "rowid = 7")
    assert bool(found) == changes


@pytest.mark.parametrize("value", ["0", "''", "x''", "0.0", "16", "x'00'"])
@pytest.mark.parametrize("column", ["correlation_id", "causation_id"])
def test_nothing_turned_into_something_empty_is_found(sqlite: Ledger, column: str, value: str) -> None:
    with sqlite.read() as connection:
        places = connection.scalars(text(f"SELECT position FROM events WHERE {column} IS NULL")).all()
    changes, found = changed(sqlite, "events", column, value, f"position = {places[0]}")
    assert changes
    assert any(line.startswith(f"event {places[0]}: ") for line in found)


@pytest.mark.parametrize("column", ["stream_id", "type", "data", "event_id", "hash"])
def test_text_that_is_none_is_found(sqlite: Ledger, column: str) -> None:
    _, found = changed(sqlite, "events", column, "CAST(x'C3286F' AS TEXT)", "position = 7")
    assert any(line.startswith("event 7:") for line in found)
    "".join(found).encode()  # it can be told


@pytest.mark.parametrize("value", ["CAST(hash AS TEXT)", "'text'", "5"])
def test_a_head_of_another_type_is_found(sqlite: Ledger, value: str) -> None:
    _, found = changed(sqlite, "ledger_head", "hash", value, "id = 1")
    assert any("head" in line for line in found)


@pytest.mark.parametrize("table", schema.PROJECTION_TABLES, ids=lambda table: table.name)
def test_values_of_another_type_in_a_projection_are_found(sqlite: Ledger, table: Table) -> None:
    key = ", ".join(column.name for column in table.primary_key.columns)
    tampered = 0
    for column in (column.name for column in table.columns if column.name != "seq"):  # SQLite refuses that one
        first = f"({key}) IN (SELECT {key} FROM {table.name} WHERE {column} IS NOT NULL LIMIT 1)"
        for kind in ("TEXT", "BLOB"):
            changes, found = changed(sqlite, table.name, column, f"CAST({column} AS {kind})", first)
            assert bool(found) == changes, (column, kind)
            tampered += changes
    assert tampered
    assert verify(sqlite.database).problems == ()
