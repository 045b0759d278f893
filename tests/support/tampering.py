"""Ways into a log that its triggers would bar, and everything that somebody could do to one of its rows there.

log = Log(ledger)
with log.tampered("deleted", 7):
    assert not verify(ledger.database).sound
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any, Final

from sqlalchemy import delete, insert, select, text

from ledger import Ledger, schema
from ledger.backends import Database
from ledger.codec import GENESIS, body_hash, chain_hash

__all__ = ["TAMPERINGS", "Log", "make_log_writable", "other"]

_STATEMENTS: Final = {
    "sqlite": tuple(f"DROP TRIGGER events_no_{change}" for change in ("update", "delete", "replace")),
    "postgresql": ("ALTER TABLE events DISABLE TRIGGER USER",),
}

EVENTS: Final = schema.events
CONTENTS: Final = ("type", "schema_version", "data", "body_hash")

Row = Mapping[str, Any]
Rows = Mapping[int, Row]
Change = dict[int, dict[str, Any] | None]
"""Position → the row that stands there afterwards, None for none."""


def make_log_writable(database: Database) -> None:
    """From here on nothing protects stored events."""
    with database.write() as connection:
        for statement in _STATEMENTS[database.dialect]:
            connection.execute(text(statement))


def other(value: Any) -> Any:
    """Nearly the same value, and nobody else's."""
    if value is None:
        return b"0123456789abcdef"
    if isinstance(value, int):
        return value + 10_000
    if isinstance(value, bytes):
        return bytes([value[0] ^ 1, *value[1:]])
    return f"{value}~"


class Log:
    """A log that can be tampered with: one change at a time, undone afterwards."""

    def __init__(self, ledger: Ledger) -> None:
        self._database = ledger.database
        make_log_writable(self._database)
        with self._database.read() as connection:
            rows = connection.execute(select(EVENTS).order_by(EVENTS.c.position))
            self.rows: dict[int, Row] = {row.position: dict(row._mapping) for row in rows}

    @contextmanager
    def tampered(self, how: str, position: int) -> Iterator[set[int]]:
        """For the time, one row is not as it was, or two. Yields the positions that are concerned."""
        change = TAMPERINGS[how](self.rows, position)
        assert any(self.rows.get(at) != row for at, row in change.items()), f"{how} of {position} changes nothing"
        self._put(change)
        try:
            yield set(change)
        finally:
            self._put({at: self.rows.get(at) for at in change})

    def _put(self, change: Mapping[int, Row | None]) -> None:
        with self._database.write() as connection:
            connection.execute(delete(EVENTS).where(EVENTS.c.position.in_(list(change))))
            for row in change.values():
                if row is not None:
                    connection.execute(insert(EVENTS).values(**row))


def _changed(column: str) -> Callable[[Rows, int], Change]:
    def change(rows: Rows, at: int) -> Change:
        row = {**rows[at], column: other(rows[at][column])}
        return {at: None, row["position"]: row}

    return change


def _deleted(rows: Rows, at: int) -> Change:
    return {at: None}


def _copied_to(place: Callable[[Rows, int], int]) -> Callable[[Rows, int], Change]:
    def copy(rows: Rows, at: int) -> Change:
        row, to = rows[at], place(rows, at)
        renamed = {"event_id": other(row["event_id"]), "version": row["version"] + 10_000}  # no two may be the same
        return {to: {**row, "position": to, **renamed}}

    return copy


def _neighbour(rows: Rows, at: int, *differing: str) -> int:
    """The next row that differs, or the one before."""
    around = (*range(at + 1, len(rows) + 1), *range(at - 1, 0, -1))
    return next(one for one in around if any(rows[one][name] != rows[at][name] for name in differing))


def _positions_swapped(rows: Rows, at: int) -> Change:
    to = _neighbour(rows, at, "event_id")
    return {at: {**rows[to], "position": at}, to: {**rows[at], "position": to}}


def _contents_swapped(rows: Rows, at: int) -> Change:
    to = _neighbour(rows, at, *CONTENTS)
    here, there = ({name: rows[one][name] for name in CONTENTS} for one in (at, to))
    return {at: {**rows[at], **there}, to: {**rows[to], **here}}


def _rewritten(rows: Rows, at: int) -> Change:
    """By somebody who can compute a row's own hashes."""
    row = {**rows[at], "data": rows[at]["data"] + " "}
    row["body_hash"] = body_hash(row["type"], row["schema_version"], row["data"].encode())
    previous = rows[at - 1]["hash"] if at > 1 else GENESIS
    row["hash"] = chain_hash(previous, tuple(row.values())[:-3], row["body_hash"])
    return {at: row}


TAMPERINGS: Final[dict[str, Callable[[Rows, int], Change]]] = {
    **{f"{column.name} changed": _changed(column.name) for column in EVENTS.columns},
    "deleted": _deleted,
    "copied to the end": _copied_to(lambda rows, _at: len(rows) + 1),
    "copied to the front": _copied_to(lambda _rows, at: -at),
    "positions swapped": _positions_swapped,
    "contents swapped": _contents_swapped,
    "rewritten": _rewritten,
}
"""What can be done to one row, by name."""
