"""What a database's schema is, to the last index, and the way back from it."""

from __future__ import annotations

import re
from typing import Final

from alembic import command
from alembic.config import Config
from sqlalchemy import text

from ledger import migrate
from ledger.backends import Database

__all__ = ["downgrade", "everything"]

_SQLITE: Final = ("SELECT type, name, sql FROM sqlite_master WHERE name NOT LIKE 'sqlite_%'",)

_POSTGRES: Final = (
    "SELECT 'table', table_name, '' FROM information_schema.tables WHERE table_schema = 'public'",
    """
    SELECT 'column', table_name || '.' || column_name,
           concat_ws(' ', ordinal_position, data_type, collation_name, is_nullable, column_default)
    FROM information_schema.columns WHERE table_schema = 'public'
    """,
    "SELECT 'index', indexname, indexdef FROM pg_indexes WHERE schemaname = 'public'",
    "SELECT 'trigger', tgname, pg_get_triggerdef(oid) FROM pg_trigger WHERE NOT tgisinternal",
    "SELECT 'function', proname, prosrc FROM pg_proc WHERE pronamespace = 'public'::regnamespace",
    """
    SELECT 'constraint', conname, pg_get_constraintdef(oid)
    FROM pg_constraint WHERE connamespace = 'public'::regnamespace
    """,
)

_KEPT: Final = ("alembic_version", "ledger_head", "projections")
"""Tables that hold rows from the start."""


def everything(database: Database) -> dict[tuple[str, str], str]:
    """(kind, name) → definition of every object, and what stands in the tables that are never empty."""
    sqlite = database.dialect == "sqlite"
    with database.read() as connection:
        rows = [row for query in (_SQLITE if sqlite else _POSTGRES) for row in connection.execute(text(query))]
        found = {(kind, name): re.sub(r"\s+", " ", definition or "").strip() for kind, name, definition in rows}
        for table in _KEPT:
            if ("table", table) in found:
                stored = connection.execute(text(f"SELECT * FROM {table}")).all()
                found["rows", table] = str(sorted(map(str, stored)))
        if sqlite:
            found["pragma", "application_id"] = str(connection.scalar(text("PRAGMA application_id")))
    return found


def downgrade(database: Database, to: str = "base") -> None:
    """Go back to an earlier schema, in one transaction. For tests: before the first one all events go with it."""
    config = Config()
    config.set_main_option("script_location", str(migrate.script_location()))
    with database.write() as connection:
        config.attributes["connection"] = connection
        command.downgrade(config, to)
