"""Bulk SQL, generated from the schema: the same statements for every database, but for the placeholders."""

from __future__ import annotations

from collections.abc import Callable
from functools import cache
from typing import Any

from sqlalchemy import Column, Table

__all__ = ["Placeholder", "add", "changing", "columns", "insert", "insert_missing", "on_conflict_add", "update"]

Placeholder = Callable[[Column[Any], int], str]
"""What stands for a column's value, given its place among the table's columns, counted from 1."""

# Names come from ledger.schema, never from outside, and need no quoting.


def columns(table: Table, *, start: int = 0) -> str:
    """The table's columns from the given one on, in order, for a SELECT."""
    return ", ".join(f"{table.name}.{column.name}" for column in list(table.columns)[start:])


@cache
def insert(table: Table, mark: Placeholder) -> str:
    """INSERT with one placeholder for each column."""
    names = [column.name for column in table.columns]
    marks = ", ".join(_marks(table, mark))
    return f"INSERT INTO {table.name} ({', '.join(names)}) VALUES ({marks})"  # noqa: S608


@cache
def insert_missing(table: Table, mark: Placeholder) -> str:
    """INSERT that leaves an existing row alone."""
    return f"{insert(table, mark)} ON CONFLICT DO NOTHING"


@cache
def changing(table: Table) -> int:
    """How many columns stand before the first that changes (see `schema.CHANGES`)."""
    return next(place for place, column in enumerate(table.columns) if "changes" in column.info)


@cache
def update(table: Table, mark: Placeholder) -> str:
    """UPDATE, by primary key, of the columns that change. Needs placeholders that tell their place.

    Naming the others too would cost: SQLite rewrites every index of which a column is assigned, changed or not.
    """
    marks = dict(zip(table.columns.keys(), _marks(table, mark), strict=True))
    assignments = ", ".join(f"{name} = {marks[name]}" for name in list(marks)[changing(table) :])
    condition = " AND ".join(f"{column.name} = {marks[column.name]}" for column in table.primary_key.columns)
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
def add(table: Table, mark: Placeholder) -> str:
    """INSERT that adds to an existing row instead."""
    return f"{insert(table, mark)} {on_conflict_add(table)}"


def _marks(table: Table, mark: Placeholder) -> list[str]:
    return [mark(column, place) for place, column in enumerate(table.columns, start=1)]
