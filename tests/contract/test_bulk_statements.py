"""What the projections write in bulk comes back as it was, on every database."""

from __future__ import annotations

from typing import Any

import pytest
from sqlalchemy import Table, func, insert, select

from ledger import schema
from ledger.backends import Database, DuplicateRow

_BIG = 2**63 - 1
_FEW, _MANY = 3, 60  # some databases take another way from a number of rows on


def _state(seq: int, **changes: Any) -> tuple[Any, ...]:
    values: dict[str, Any] = {
        "seq": seq,
        "version": 1,
        "status": "queued",
        "attempts": 0,
        "due_at": None,
        "batch_id": None,
        "batch_index": None,
        "result": None,
        "response_model": None,
        "error_type": None,
        "error_message": None,
        "finished_at": None,
        "usage": "[]",
    }
    assert not changes.keys() - values.keys()
    return tuple((values | changes).values())


def _rows(database: Database, table: Table) -> list[tuple[Any, ...]]:
    with database.read() as connection:
        return [tuple(row) for row in connection.execute(select(table).order_by(*table.primary_key.columns))]


@pytest.mark.parametrize("count", [0, 1, _FEW, _MANY])
def test_inserted_rows_come_back(database: Database, count: int) -> None:
    rows = [
        _state(
            seq,
            due_at=-seq if seq % 2 else None,
            result=bytes([seq]) * 32,
            error_message="é\n'\"\\ (null) \U0001f600",
        )
        for seq in range(count)
    ]
    with database.write() as connection:
        database.insert(connection, schema.request_states, rows)
    assert _rows(database, schema.request_states) == rows


@pytest.mark.parametrize("count", [_FEW, _MANY])
def test_what_is_empty_or_extreme_is_not_taken_for_null(database: Database, count: int) -> None:
    rows = [
        _state(seq, error_type="", due_at=1 - _BIG, finished_at=_BIG, result=b"", attempts=-1) for seq in range(count)
    ]
    with database.write() as connection:
        database.insert(connection, schema.request_states, rows)
    assert _rows(database, schema.request_states) == rows


@pytest.mark.parametrize("count", [_FEW, _MANY])
def test_an_update_writes_what_changes_and_nulls_too(database: Database, count: int) -> None:
    before = [_state(seq, due_at=5, result=b"r", batch_id="b", batch_index=seq) for seq in range(count)]
    after = [
        _state(seq, version=2, status="batched", due_at=None if seq else 7, batch_index=0) for seq in range(1, count)
    ]
    with database.write() as connection:
        database.insert(connection, schema.request_states, before)
        database.update(connection, schema.request_states, after)
    assert _rows(database, schema.request_states) == [before[0], *after]


@pytest.mark.parametrize("count", [_FEW, _MANY])
def test_missing_rows_are_inserted_and_present_ones_left_alone(database: Database, count: int) -> None:
    table = schema.unread_writes
    first = (b"\x00" * 8, 1, 10, 20, 30, 40)
    others = [(bytes([at]) * 8, at, 10, 20, 30, 40) for at in range(1, count)]
    with database.write() as connection:
        connection.execute(insert(table).values(first))
        database.insert_missing(connection, table, [(*first[:2], 99, 99, 99, 99), *others])
    assert _rows(database, table) == [first, *others]


@pytest.mark.parametrize("count", [_FEW, _MANY])
def test_adding_sums_up_and_takes_away(database: Database, count: int) -> None:
    def row(at: int, counts: int) -> tuple[Any, ...]:
        return ("team", 900, at, f"value {at}", "anthropic", "model", counts, 0, -counts, 1)

    with database.write() as connection:
        database.add(connection, schema.outcome_rollups, [row(at, 5) for at in range(count - 1)])
        database.add(connection, schema.outcome_rollups, [row(at, -2) for at in range(count)])
    rows = _rows(database, schema.outcome_rollups)
    assert rows[:-1] == [(*row(at, 3)[:-1], 2) for at in range(count - 1)]
    assert rows[-1] == row(count - 1, -2)


@pytest.mark.parametrize("count", [_FEW, _MANY, 700])
def test_rows_are_fetched_by_numbers_text_and_bytes(database: Database, count: int) -> None:
    with database.write() as connection:
        database.insert(connection, schema.request_states, [_state(seq) for seq in range(count)])
        database.insert(connection, schema.tag_values, [("team", f"é{at}") for at in range(count)])
        database.insert(connection, schema.cache_prefixes, [(at.to_bytes(8), at) for at in range(count)])
    wanted = range(0, count + 5, 2)
    with database.read() as connection:
        by_number = database.fetch(connection, "SELECT seq FROM request_states WHERE seq {among}", [*wanted])
        by_text = database.fetch(
            connection, "SELECT value FROM tag_values WHERE value {among}", [f"é{at}" for at in wanted]
        )
        by_bytes = database.fetch(
            connection, "SELECT prefix FROM cache_prefixes WHERE prefix {among}", [at.to_bytes(8) for at in wanted]
        )
        nothing = database.fetch(connection, "SELECT seq FROM request_states WHERE seq {among}", [])
    found = [at for at in wanted if at < count]
    assert sorted(by_number) == [(at,) for at in found]
    assert sorted(by_text) == sorted((f"é{at}",) for at in found)
    assert sorted(by_bytes) == [(at.to_bytes(8),) for at in found]
    assert nothing == []


@pytest.mark.parametrize("count", [1, _MANY])
def test_a_row_that_is_there_already_is_refused_and_nothing_written(database: Database, count: int) -> None:
    rows = [_state(seq) for seq in range(count)]

    def insert_twice() -> None:
        with database.write() as connection:
            database.insert(connection, schema.request_states, rows)
            database.insert(connection, schema.request_states, rows)

    with pytest.raises(DuplicateRow):
        insert_twice()
    with database.read() as connection:
        assert connection.scalar(select(func.count()).select_from(schema.request_states)) == 0
