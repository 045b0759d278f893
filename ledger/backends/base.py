"""What the store asks of a database: serialised writes, consistent reads, bulk statements."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from contextlib import AbstractContextManager
from typing import Any, Protocol

from sqlalchemy import Connection, Table

__all__ = ["Database", "DuplicateRow"]


class DuplicateRow(Exception):
    """A unique constraint refused a row; the transaction it belonged to is rolled back."""


class Database(Protocol):
    """One database that holds one ledger. Safe to share between the threads of a process."""

    url: str
    """Where it is, for people: without the password."""
    dialect: str

    @property
    def missing(self) -> bool:
        """True if there is nothing at the URL yet, not even an empty database."""
        ...

    def prepare(self) -> None:
        """Settings that a ledger's database keeps, made before its schema is, outside any transaction."""
        ...

    def write(self) -> AbstractContextManager[Connection]:
        """A transaction that no other writer, of any process, runs beside. Commits on a clean exit.

        Raises `DuplicateRow` where a unique constraint refuses a row, `DatabaseUnusable` where the database does,
        `DatabaseUnavailable` if only for the moment: whether the transaction was committed is not known then.
        """
        ...

    def read(self) -> AbstractContextManager[Connection]:
        """A transaction in which every statement sees the same state."""
        ...

    def fetch(self, connection: Connection, query: str, keys: Sequence[Any]) -> list[tuple[Any, ...]]:
        """Rows whose column is among the keys, in no order: `query` is SQL with `{among}` behind that column.

        For the hot path: no statement is built or compiled, and rows come as the driver gives them.
        """
        ...

    def insert(self, connection: Connection, table: Table, rows: Iterable[Sequence[Any]]) -> None:
        """Bulk insert: each row has one value for every column of the table, in its order.

        Rows are taken one by one, where the database takes them so; making one must not use the connection.
        """
        ...

    def insert_missing(self, connection: Connection, table: Table, rows: Sequence[Sequence[Any]]) -> None:
        """Bulk insert that leaves rows alone whose primary key is there already."""
        ...

    def update(self, connection: Connection, table: Table, rows: Sequence[Sequence[Any]]) -> None:
        """Bulk update by primary key, which leads the columns: each row has one value for every column, in order.

        Only columns from the first one marked `schema.CHANGES` on are written.
        """
        ...

    def add(self, connection: Connection, table: Table, rows: Sequence[Sequence[Any]]) -> None:
        """Bulk upsert that adds every value outside the primary key to what is stored."""
        ...

    def before_fork(self) -> None:
        """Come to rest, as far as that is needed for a child of this process to go on."""
        ...

    def after_fork(self, *, child: bool) -> None:
        """Go on; in the child with connections and locks of its own. The parent's are neither used nor closed."""
        ...

    def close(self) -> None:
        """Give back every connection."""
        ...
