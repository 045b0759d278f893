"""Projections made anew from the log."""

from __future__ import annotations

import pytest
from sqlalchemy import delete, select, update

from ledger import Ledger, schema
from ledger.projections import position
from ledger.rebuild import differences, rebuild
from ledger.store import CHUNK
from ledger.verify import verify
from tests.support.history import History
from tests.support.ledgers import bare_ledger, dump
from tests.support.mixed import mixed_history
from tests.support.prices import price_book


@pytest.fixture
def mixed(ledger: Ledger, history: History) -> Ledger:
    mixed_history(history)
    history.adopt(price_book({"claude-opus-99": "3", "claude-haiku-4-5": [("2026-11-23T00:00:00Z", "2")]}))
    history.succeed(history.requests[0])
    ledger.append(history.take())
    return ledger


def test_something_of_everything_is_in_the_mixed_history(mixed: Ledger) -> None:
    assert all(rows for rows in dump(mixed.database).values())


def test_a_rebuild_gives_what_was_there(mixed: Ledger) -> None:
    before = dump(mixed.database)
    assert rebuild(mixed.database) == mixed.head().position
    assert dump(mixed.database) == before


def test_a_rebuild_repairs_whatever_was_done_to_the_projections(mixed: Ledger) -> None:
    before = dump(mixed.database)
    with mixed.database.write() as connection:
        for table in schema.PROJECTION_TABLES:
            connection.execute(delete(table))
        connection.execute(update(schema.projections).values(position=2, version=9))
    assert differences(mixed.database)
    rebuild(mixed.database)
    assert dump(mixed.database) == before
    assert verify(mixed.database).sound


def test_a_ledger_goes_on_after_a_rebuild(mixed: Ledger, history: History) -> None:
    rebuild(mixed.database)
    history.succeed(history.request(mode="standard"))
    mixed.append(history.take())
    assert verify(mixed.database).sound


def test_a_rebuild_that_dies_leaves_the_projections_as_they_were(mixed: Ledger) -> None:
    before = dump(mixed.database)

    def die(_done: int, _total: int) -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        rebuild(mixed.database, die)
    assert dump(mixed.database) == before
    assert verify(mixed.database).sound


def test_progress_is_told_chunk_by_chunk(mixed: Ledger, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("ledger.replay.PORTION", 30)
    told: list[tuple[int, int]] = []
    count = rebuild(mixed.database, lambda done, total: told.append((done, total)))
    assert [total for _, total in told] == [count] * len(told)
    assert [done for done, _ in told] == [*range(30, count, 30), count]


def test_an_empty_log_has_empty_projections() -> None:
    with bare_ledger() as empty:
        assert rebuild(empty.database) == 0
        assert differences(empty.database) == []
        with empty.read() as connection:
            assert position(connection) == 0
        assert not any(dump(empty.database).values())


def test_the_checkpoints_stand_at_the_head(mixed: Ledger) -> None:
    head = mixed.head().position
    with mixed.read() as connection:
        assert position(connection) == head
        assert set(connection.scalars(select(schema.projections.c.status))) == {"current"}


def test_chunks_that_are_full_to_the_last_event() -> None:
    with bare_ledger() as ledger:
        history = History(ledger.clock, ledger.ids)  # type: ignore[arg-type]
        for _ in range(CHUNK):
            history.request()
        ledger.append(history.take())
        before = dump(ledger.database)
        assert rebuild(ledger.database) == CHUNK
        assert dump(ledger.database) == before
