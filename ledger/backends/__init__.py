"""The databases a ledger can live in. A URL picks one; everything above speaks `Database`."""

from __future__ import annotations

from sqlalchemy import make_url
from sqlalchemy.exc import ArgumentError

from ledger import crash_points
from ledger.backends.base import Database, DuplicateRow
from ledger.errors import ConfigurationError

__all__ = ["Database", "DuplicateRow", "open_database"]


def open_database(url: str) -> Database:
    """The database at a SQLAlchemy URL. Raises `ConfigurationError` for one that no backend here speaks."""
    crash_points.obey()
    try:
        backend = make_url(url).get_backend_name()
    except (ArgumentError, ValueError):  # the latter for a port that is no number
        raise ConfigurationError(
            "LLM_LEDGER_DATABASE_URL is not a database URL; use sqlite:///FILE for the embedded ledger"
        ) from None
    if backend == "sqlite":
        if make_url(url).host:
            raise ConfigurationError(
                f"{url} names a host, and SQLite has none; a file takes three slashes: sqlite:///FILE"
            )
        from ledger.backends.sqlite import SQLiteDatabase

        return SQLiteDatabase(url)
    if backend in ("postgresql", "postgres"):  # libpq takes either
        try:
            from ledger.backends.postgres import PostgresDatabase
        except ImportError:
            raise ConfigurationError("for Postgres install llm-ledger[postgres]") from None
        return PostgresDatabase(url)
    raise ConfigurationError(f"LLM_LEDGER_DATABASE_URL names {backend}; use sqlite:///FILE or postgresql+psycopg://…")
