"""Bulk SQL, generated from the schema: the same statements for every database, but for the placeholder."""

from __future__ import annotations

from functools import cache

from sqlalchemy import Table

__all__ = ["add", "changing", "columns", "insert", "insert_missing", "on_conflict_add", "update"]

# Names come from ledger.schema, never from outside, and need no quoting.


def columns(table: Table, *, start: int = 0) -> str:
    """The table's columns from the given one on, in order, for a SELECT."""
    return ", ".join(f"{table.name}.{column.name}" for column in list(table.columns)[start:])


@cache
def insert(table: Table, mark: str) -> str:
    """INSERT with one placeholder for each column."""
    names = [column.name for column in table.columns]
    marks = ", ".join([mark] * len(names))
    return f"INSERT INTO {table.name} ({', '.join(names)}) VALUES ({marks})"  # noqa: S608


@cache
def insert_missing(table: Table, mark: str) -> str:
    """INSERT that leaves an existing row alone."""
    return f"{insert(table, mark)} ON CONFLICT DO NOTHING"


@cache
def changing(table: Table) -> int:
    """How many columns stand before the first that changes (see `schema.CHANGES`)."""
    return next(place for place, column in enumerate(table.columns) if "changes" in column.info)


@cache
def update(table: Table, mark: str) -> str:
    """UPDATE of the columns that change. Placeholders: those columns in order, then the primary key.

    Naming the others too would cost: SQLite rewrites every index of which a column is assigned, changed or not.
    """
    names = [column.name for column in table.columns]
    assignments = ", ".join(f"{name} = {mark}" for name in names[changing(table) :])
    condition = " AND ".join(f"{column.name} = {mark}" for column in table.primary_key.columns)
    return f"UPDATE {table.name} SET {assignments} WHERE {condition}"  # noqa: S608


@cache
def on_conflict_add(table: Table) -> str:
    """What turns an INSERT into adding to the row that is there."""
    keys = [column.name for column in table.primary_key.columns]
    sums = ", ".join(
        f"{column.name} = {table.name}.{column.name} + excluded.{column.name}"
        for column in table.columns
        if column.name not in keys
    )
    return f"ON CONFLICT ({', '.join(keys)}) DO UPDATE SET {sums}"


@cache
def add(table: Table, mark: str) -> str:
    """INSERT that adds to an existing row instead."""
    return f"{insert(table, mark)} {on_conflict_add(table)}"
