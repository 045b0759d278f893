"""How values reach SQLite in bulk: in the forms that the driver binds as they are.

The driver (the standard library's sqlite3 and pysqlite3 alike) binds exact int, float, str and bytearray at once.
For every other value, None and bytes among them, it first searches its registry of adapters, which costs about a
microsecond each: more than SQLite needs to store the row. So bytes travel as bytearray, and NULL as a number that
no column holds, which the statement turns back.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from functools import cache
from typing import Any, Final

from sqlalchemy import Column, LargeBinary, Table

__all__ = ["bindable", "placeholder"]

_NULL: Final = -(1 << 63)


def placeholder(column: Column[Any], place: int) -> str:
    """What stands for a value in a statement: the parameter of that number, counted from 1."""
    return f"NULLIF(?{place}, {_NULL})" if column.nullable else f"?{place}"


def bindable(table: Table, rows: Sequence[Sequence[Any]]) -> list[tuple[Any, ...]]:
    """The rows, each with a value for every column of the table, in forms that bind at once."""
    columns: list[Iterable[Any]] = list(zip(*rows, strict=True))
    for place, (binary, nullable) in enumerate(_forms(table)):
        if binary and nullable:
            columns[place] = [_NULL if value is None else bytearray(value) for value in columns[place]]
        elif binary:
            columns[place] = map(bytearray, columns[place])
        elif nullable:
            columns[place] = [_NULL if value is None else value for value in columns[place]]
    return list(zip(*columns, strict=True))


@cache
def _forms(table: Table) -> tuple[tuple[bool, bool], ...]:
    return tuple((isinstance(column.type, LargeBinary), bool(column.nullable)) for column in table.columns)
