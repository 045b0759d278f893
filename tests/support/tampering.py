"""Ways into a log that its triggers would bar."""

from __future__ import annotations

from typing import Final

from sqlalchemy import text

from ledger.backends import Database

__all__ = ["make_log_writable"]

_STATEMENTS: Final = {
    "sqlite": tuple(f"DROP TRIGGER events_no_{change}" for change in ("update", "delete", "replace")),
    "postgresql": ("ALTER TABLE events DISABLE TRIGGER USER",),
}


def make_log_writable(database: Database) -> None:
    """From here on nothing protects stored events."""
    with database.write() as connection:
        for statement in _STATEMENTS[database.dialect]:
            connection.execute(text(statement))
