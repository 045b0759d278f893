"""Bulk SQL, generated from the schema: the same statements for every database, but for the placeholder."""

from __future__ import annotations

from functools import cache

from sqlalchemy import Table

__all__ = ["add", "insert", "insert_missing", "update"]

# Names come from ledger.schema, never from outside, and need no quoting.


@cache
def insert(table: Table, mark: str) -> str:
    """INSERT with one placeholder for each column."""
    columns = [column.name for column in table.columns]
    marks = ", ".join([mark] * len(columns))
    return f"INSERT INTO {table.name} ({', '.join(columns)}) VALUES ({marks})"  # noqa: S608


@cache
def insert_missing(table: Table, mark: str) -> str:
    """INSERT that leaves an existing row alone."""
    return f"{insert(table, mark)} ON CONFLICT DO NOTHING"


@cache
def update(table: Table, mark: str) -> str:
    """UPDATE of every column outside the primary key. Placeholders: the columns in order, then the key again."""
    keys = [column.name for column in table.primary_key.columns]
    assignments = ", ".join(f"{column.name} = {mark}" for column in table.columns if column.name not in keys)
    condition = " AND ".join(f"{name} = {mark}" for name in keys)
    return f"UPDATE {table.name} SET {assignments} WHERE {condition}"  # noqa: S608


@cache
def add(table: Table, mark: str) -> str:
    """INSERT that adds to an existing row instead."""
    keys = [column.name for column in table.primary_key.columns]
    sums = ", ".join(
        f"{column.name} = {table.name}.{column.name} + excluded.{column.name}"
        for column in table.columns
        if column.name not in keys
    )
    return f"{insert(table, mark)} ON CONFLICT ({', '.join(keys)}) DO UPDATE SET {sums}"
