"""Bytes on disk: the log, its indexes, the projections and theirs."""

from __future__ import annotations

import sqlite3
from contextlib import closing
from typing import Final

from sqlalchemy import create_engine, make_url, text

from bench.filled import Filled
from bench.results import Size
from ledger import schema

__all__ = ["disk_sizes"]

_PARTS: Final = ("log", "indexes of the log", "projections", "indexes of projections", "everything else")


def disk_sizes(filled: Filled) -> list[Size]:
    """The parts in the order of the page, then their sum. Where SQLite cannot tell them apart, the sum alone."""
    tables = _sqlite(filled.url) if filled.url.startswith("sqlite") else _postgres(filled.url)
    sums = dict.fromkeys(_PARTS, 0)
    for table, index, size in tables:
        sums[_part(table, index)] += size
    total = sum(sums.values())
    parts = [Size(what, filled.events, size) for what, size in sums.items()] if len(tables) > 1 else []
    return [*parts, Size("in all", filled.events, total)]


def _part(table: str, index: bool) -> str:
    if table == schema.events.name:
        return "indexes of the log" if index else "log"
    if table in {one.name for one in schema.PROJECTION_TABLES}:
        return "indexes of projections" if index else "projections"
    return "everything else"


_Tables = list[tuple[str, bool, int]]


def _sqlite(url: str) -> _Tables:
    """Reads the closed file only. `dbstat` is not compiled into every SQLite; the interpreter's own often has it."""
    file = make_url(url).database
    with closing(sqlite3.connect(f"file:{file}?mode=ro&immutable=1", uri=True)) as connection:
        try:
            rows = connection.execute(
                "SELECT m.tbl_name, m.type = 'index', s.pageno FROM dbstat AS s JOIN sqlite_schema AS m "
                "ON m.name = s.name WHERE s.aggregate = 1"
            ).fetchall()
        except sqlite3.OperationalError:
            rows = []
        pages = connection.execute("PRAGMA page_count").fetchone()[0]
        page = connection.execute("PRAGMA page_size").fetchone()[0]
    # Counted in pages: the bytes that `dbstat` adds up itself wrap at 4 GiB.
    known = [(table, bool(index), count * page) for table, index, count in rows]
    return [*known, ("", False, pages * page - sum(size for _, _, size in known))]


def _postgres(url: str) -> _Tables:
    query = (
        "SELECT relname, pg_table_size(oid), pg_indexes_size(oid) FROM pg_class "
        "WHERE relkind = 'r' AND relnamespace = 'public'::regnamespace"
    )
    engine = create_engine(url)
    with engine.connect() as connection:
        rows = connection.execute(text(query)).all()
    engine.dispose()
    return [part for name, table, index in rows for part in ((name, False, table), (name, True, index))]
