"""The database that an audit looks at."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from ledger.backends import Database

__all__ = ["audited"]


@contextmanager
def audited() -> Iterator[Database]:
    """The database alone: opening it as a ledger could append to what is about to be proven."""
    from ledger.backends import open_database
    from ledger.migrate import ensure_schema
    from ledger.settings import LedgerSettings

    database = open_database(LedgerSettings.from_env().database_url)
    try:
        ensure_schema(database, create=False)
        yield database
    finally:
        database.close()
