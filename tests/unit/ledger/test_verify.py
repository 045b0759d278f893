"""Whatever is changed in a ledger behind its back, `verify` says where."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import pytest
from sqlalchemy import Table, delete, insert, select, text, update

from ledger import Ledger, NewEvent, schema
from ledger.errors import LedgerCorrupt
from ledger.events import RequestRecorded
from ledger.payloads import encode_payload
from ledger.verify import Verification, verify
from tests.support.history import History
from tests.support.mixed import mixed_history
from tests.support.tampering import make_log_writable, other

EVENTS = schema.events
COLUMNS = [column.name for column in EVENTS.columns]


@pytest.fixture
def whole(ledger: Ledger, history: History) -> Ledger:
    """About sixty events, and no trigger that would protect them."""
    ledger.append(mixed_history(history).take())
    make_log_writable(ledger.database)
    return ledger


def run(ledger: Ledger, *statements: Any) -> None:
    with ledger.database.write() as connection:
        for statement in statements:
            connection.execute(statement)


def problems(ledger: Ledger) -> tuple[str, ...]:
    return verify(ledger.database).problems


def rows_of(ledger: Ledger, table: Table) -> Sequence[Any]:
    with ledger.read() as connection:
        return connection.execute(select(table).order_by(*table.primary_key.columns)).all()


def put_back(ledger: Ledger, row: Any) -> None:
    """The event as it was, wherever it is now."""
    run(ledger, delete(EVENTS).where(EVENTS.c.position == row.position), insert(EVENTS).values(**row._mapping))


# --- sound ---------------------------------------------------------------------------------------------------


def test_an_untouched_ledger_is_sound(whole: Ledger) -> None:
    head = whole.head()
    assert verify(whole.database) == Verification(head.position, head.hash.hex(), ())
    assert verify(whole.database).sound
    assert head.position > 40


def test_progress_is_told(whole: Ledger, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("ledger.chain.CHUNK", 20)
    told: list[tuple[int, int]] = []
    verify(whole.database, lambda done, total: told.append((done, total)))
    count = whole.head().position
    assert told == [(at, count) for at in range(20, count + 1, 20)]


# --- the log -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("column", COLUMNS)
def test_every_changed_value_is_found(whole: Ledger, column: str) -> None:
    for row in rows_of(whole, EVENTS):
        value = row._mapping[column]
        position = other(value) if column == "position" else row.position
        run(whole, update(EVENTS).where(EVENTS.c.position == row.position).values(**{column: other(value)}))
        found = problems(whole)
        assert any(f"event {position}: it" in line for line in found), (row.position, found)
        run(whole, update(EVENTS).where(EVENTS.c.position == position).values(**{column: value}))
    assert problems(whole) == ()


@pytest.mark.parametrize(
    ("column", "value"),
    [
        ("position", -3),
        ("version", -1),
        ("schema_version", -1),
        ("event_id", b""),
        ("correlation_id", b""),
        ("causation_id", b""),
        ("body_hash", b""),
        ("hash", b""),
    ],
)
def test_values_that_no_append_writes_are_found_and_do_not_stop_it(whole: Ledger, column: str, value: Any) -> None:
    run(whole, update(EVENTS).where(EVENTS.c.position == 7).values(**{column: value}))
    assert any("event 7" in line or "event -3" in line for line in problems(whole))


def test_every_missing_event_is_found(whole: Ledger) -> None:
    rows = rows_of(whole, EVENTS)
    for row in rows:
        run(whole, delete(EVENTS).where(EVENTS.c.position == row.position))
        expected = f"event {row.position} is missing" if row is not rows[-1] else "the head says"
        assert any(expected in line for line in problems(whole))
        put_back(whole, row)
    assert problems(whole) == ()


def test_a_log_cut_short_is_found_even_with_its_head(whole: Ledger) -> None:
    """Without a copy of the head elsewhere the projections are what is left to tell."""
    rows = rows_of(whole, EVENTS)
    last, before = rows[-1], rows[-2]
    run(whole, delete(EVENTS).where(EVENTS.c.position == last.position))
    assert any(
        f"the log ends at event {before.position}, the head says {last.position}" in line for line in problems(whole)
    )
    run(whole, update(schema.ledger_head).values(position=before.position, hash=before.hash))
    assert problems(whole)


def test_an_added_event_is_found(whole: Ledger) -> None:
    row = rows_of(whole, EVENTS)[10]._mapping
    head = whole.head().position
    added = {**row, "position": head + 1, "event_id": b"0123456789abcdef", "stream_id": "config/new", "version": 1}
    run(whole, insert(EVENTS).values(**added))
    assert any(f"event {head + 1}" in line for line in problems(whole))


def test_two_events_that_changed_places_are_found(whole: Ledger) -> None:
    one, two = rows_of(whole, EVENTS)[10:12]
    for target, position in ((one, -1), (two, one.position)):
        run(whole, update(EVENTS).where(EVENTS.c.position == target.position).values(position=position))
    run(whole, update(EVENTS).where(EVENTS.c.position == -1).values(position=two.position))
    found = problems(whole)
    assert any(f"event {one.position}" in line for line in found)
    assert any(f"event {two.position}" in line for line in found)


@pytest.mark.parametrize("column", ["position", "hash"])
def test_a_changed_head_is_found(whole: Ledger, column: str) -> None:
    head = rows_of(whole, schema.ledger_head)[0]
    run(whole, update(schema.ledger_head).values(**{column: other(head._mapping[column])}))
    assert any(f"the log ends at event {head.position}" in line for line in problems(whole))


def test_a_missing_head_is_found(whole: Ledger) -> None:
    run(whole, delete(schema.ledger_head))
    assert problems(whole) == ("the head of the log is missing",)


def test_a_recomputed_chain_is_found_by_its_anchor(whole: Ledger) -> None:
    rows = rows_of(whole, EVENTS)
    anchored = [{"position": row.position, "hash": row.hash, "exported_at": 0} for row in (rows[5], rows[-1])]
    run(whole, *(insert(schema.anchors).values(**anchor) for anchor in anchored))
    assert verify(whole.database).sound
    run(whole, update(schema.anchors).where(schema.anchors.c.position == 6).values(hash=b"other"))
    assert problems(whole) == ("event 6 is not the one that was anchored",)


def test_an_event_of_a_later_release_asks_for_it(
    ledger: Ledger, history: History, monkeypatch: pytest.MonkeyPatch
) -> None:
    history.configure()
    with monkeypatch.context() as later:
        later.setattr("ledger.events.ConfigChanged.SCHEMA_VERSION", 2)
        ledger.append(history.take())
    with pytest.raises(LedgerCorrupt, match=r"config\.changed version 2 is from a newer llm-ledger; upgrade"):
        verify(ledger.database)


# --- the projections -----------------------------------------------------------------------------------------

TABLES = pytest.mark.parametrize("table", schema.PROJECTION_TABLES, ids=lambda table: table.name)


@TABLES
def test_every_changed_row_of_a_projection_is_found(whole: Ledger, table: Table) -> None:
    keys = [column.name for column in table.primary_key.columns]
    changing = [column.name for column in table.columns if column.name not in keys] or keys[-1:]
    row = rows_of(whole, table)[-1]
    here = [table.c[key] == row._mapping[key] for key in keys]
    for column in {changing[0], changing[-1]}:
        stored = row._mapping[column]
        changed = other(stored) if stored is not None else table.c[column].type.python_type(1)
        run(whole, update(table).where(*here).values(**{column: changed}))
        (found,) = problems(whole)
        assert found.startswith(f"{table.name}: row ({row[0]}")
        there = [table.c[key] == (changed if key == column else row._mapping[key]) for key in keys]
        run(whole, update(table).where(*there).values(**{column: row._mapping[column]}))
    assert problems(whole) == ()


@TABLES
def test_missing_and_added_rows_of_a_projection_are_found(whole: Ledger, table: Table) -> None:
    rows = rows_of(whole, table)
    keys = [column.name for column in table.primary_key.columns]
    for row in (rows[0], rows[-1]):
        run(whole, delete(table).where(*(table.c[key] == row._mapping[key] for key in keys)))
        (found,) = problems(whole)
        assert found.startswith(f"{table.name}: row (")
        run(whole, insert(table).values(**row._mapping))
    assert problems(whole) == ()
    unique = {
        column.name: other(rows[-1]._mapping[column.name])
        for constraint in table.constraints
        for column in getattr(constraint, "columns", ())
    }
    run(whole, insert(table).values(**{**rows[-1]._mapping, **unique}))
    (found,) = problems(whole)
    assert table.name in found
    assert "should not be" in found or "differs" in found


@pytest.mark.parametrize(
    "change",
    [
        update(schema.projections).values(position=3),
        update(schema.projections).values(version=99),
        delete(schema.projections),
        insert(schema.projections).values(name="more", version=1, position=1, status="current"),
    ],
    ids=["position", "version", "missing", "more"],
)
def test_a_checkpoint_off_the_head_is_found(whole: Ledger, change: Any) -> None:
    run(whole, change)
    assert problems(whole) == (
        "projections: the checkpoints do not stand at the head of the log; run `llm-ledger rebuild`",
    )


def test_projections_are_not_judged_by_a_log_that_contradicts_itself(whole: Ledger) -> None:
    run(whole, text("UPDATE events SET data = '{' WHERE position = 5"), text("DELETE FROM tag_values"))
    assert problems(whole) == ("event 5: its body was altered",)


# --- bodies --------------------------------------------------------------------------------------------------


def test_bodies_are_checked_when_asked_for(ledger: Ledger) -> None:
    body = encode_payload(b'{"model": "m", "messages": []}')
    recorded = RequestRecorded(
        key="k",
        custom_id="a",
        provider="anthropic",
        model="m",
        mode="batch",
        api_version="v",
        params_hash="00" * 32,
        payload=body.digest.hex(),
        size=body.size,
        max_tokens=1,
        estimated_input_tokens=1,
    )
    request = ledger.ids.new()
    ledger.append([NewEvent(f"request/{request}", 1, recorded, request, ledger.clock.now())], payloads=[body])
    assert verify(ledger.database, bodies=True).sound
    with ledger.database.write() as connection:
        connection.execute(update(schema.payloads).values(content=b"altered", encoding=0))
    assert verify(ledger.database).sound
    (problem,) = verify(ledger.database, bodies=True).problems
    assert "does not match its hash" in problem
    with ledger.database.write() as connection:
        connection.execute(delete(schema.payloads))
    assert verify(ledger.database, bodies=True).problems == (
        f"request {request}: its body is gone, and it is still to be sent",
    )
