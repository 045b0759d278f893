"""Columns of values as Postgres arrays in its binary form, made a column at a time.

The driver dumps lists too, value by value through its adapters, in Python: for thousands of rows that takes longer
than the server needs to store them. Format: `array_send` in Postgres' arrayfuncs.c.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterable, Sequence
from struct import Struct
from typing import Any, ClassVar, Final

from psycopg import adapters
from psycopg.adapt import Dumper
from psycopg.pq import Format
from sqlalchemy import BigInteger, Column, Integer, LargeBinary, SmallInteger

__all__ = ["Packed", "kind_of", "packed_keys"]

_HEADER: Final = Struct(">iiIii").pack
_LENGTH: Final = Struct(">i").pack
_NULL: Final = _LENGTH(-1)


class Packed(ABC):
    """Values for one array parameter. `KIND` is the type of its elements, for SQL; the oids are the server's own."""

    KIND: ClassVar[str]
    ELEMENT_OID: ClassVar[int]
    ARRAY_OID: ClassVar[int]

    def __init__(self, values: Iterable[Any]) -> None:
        self.values = values

    @abstractmethod
    def elements(self) -> list[bytes]:
        """One element after the other: its length, then its bytes; the length -1 alone for NULL."""


class _Integers(Packed):
    ELEMENT: ClassVar[Struct]

    def elements(self) -> list[bytes]:
        pack, size = self.ELEMENT.pack, self.ELEMENT.size - 4
        return [_NULL if value is None else pack(size, value) for value in self.values]


class _SmallIntegers(_Integers):
    KIND, ELEMENT_OID, ARRAY_OID, ELEMENT = "int2", 21, 1005, Struct(">ih")


class _PlainIntegers(_Integers):
    KIND, ELEMENT_OID, ARRAY_OID, ELEMENT = "int4", 23, 1007, Struct(">ii")


class _BigIntegers(_Integers):
    KIND, ELEMENT_OID, ARRAY_OID, ELEMENT = "int8", 20, 1016, Struct(">iq")


class _Bytes(Packed):
    KIND, ELEMENT_OID, ARRAY_OID = "bytea", 17, 1001

    def elements(self) -> list[bytes]:
        return [_NULL if value is None else _LENGTH(len(value)) + value for value in self.values]


class _Texts(Packed):
    KIND, ELEMENT_OID, ARRAY_OID = "text", 25, 1009

    def elements(self) -> list[bytes]:
        encoded = [value if value is None else value.encode() for value in self.values]
        return [_NULL if value is None else _LENGTH(len(value)) + value for value in encoded]


# A column takes the first that it is an instance of; any other travels as text.
_KINDS: Final[dict[type[Any], type[Packed]]] = {
    LargeBinary: _Bytes,
    SmallInteger: _SmallIntegers,
    BigInteger: _BigIntegers,
    Integer: _PlainIntegers,
}


def kind_of(column: Column[Any]) -> type[Packed]:
    """How the values of a column travel."""
    return next((kind for column_type, kind in _KINDS.items() if isinstance(column.type, column_type)), _Texts)


def packed_keys(keys: Sequence[Any]) -> Packed:
    """Keys to look up: all text, all bytes or all numbers."""
    kinds: dict[type[Any], type[Packed]] = {str: _Texts, bytes: _Bytes, int: _BigIntegers}
    return kinds[type(keys[0])](keys)


class _PackedDumper(Dumper):
    format = Format.BINARY

    def dump(self, obj: Packed) -> bytes:
        elements = obj.elements()
        has_nulls = int(_NULL in elements)
        return _HEADER(1, has_nulls, obj.ELEMENT_OID, len(elements), 1) + b"".join(elements)


_ALL: Final[tuple[type[Packed], ...]] = (_Texts, *_KINDS.values())
for _kind in _ALL:
    adapters.register_dumper(_kind, type(f"{_kind.__name__}Dumper", (_PackedDumper,), {"oid": _kind.ARRAY_OID}))
