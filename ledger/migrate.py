"""The schema's life: created, upgraded, recognised. Alembic does the work; this module knows when."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

from sqlalchemy import Connection, func, inspect, select, text

from ledger import projections, schema
from ledger.backends import Database
from ledger.errors import DatabaseUnusable

__all__ = ["ensure_schema", "schema_revision", "script_location", "upgrade"]

_PACKAGE: Final = Path(__file__).resolve().parent


def script_location() -> Path:
    """The folder of Alembic scripts: inside the wheel, or beside the package in a checkout."""
    packaged = _PACKAGE / "_alembic"
    return packaged if packaged.is_dir() else _PACKAGE.parent / "alembic"


def schema_revision(connection: Connection) -> str | None:
    """The revision a database is at, None if it is empty. `DatabaseUnusable` if it holds something else."""
    tables = set(inspect(connection).get_table_names())
    revision = None
    if "alembic_version" in tables:
        revision = connection.scalar(text("SELECT version_num FROM alembic_version"))
    if tables >= {"alembic_version", "ledger_head"}:
        return str(revision) if revision else None
    # A downgrade to nothing leaves Alembic's own table, empty.
    if revision or tables - {"alembic_version"}:
        shown = ", ".join(sorted(tables)[:3])
        raise DatabaseUnusable(
            f"this database holds other tables ({shown}) and no ledger; name another one in LLM_LEDGER_DATABASE_URL"
        )
    return None


def ensure_schema(database: Database, *, create: bool) -> None:
    """See to it that the schema is this release's. An empty database is set up if `create`.

    Raises `DatabaseUnusable` for a schema that is older (run `init`), newer (upgrade the program) or foreign.
    """
    if database.missing and not create:
        raise DatabaseUnusable("there is no ledger in this database yet; run `llm-ledger init`")
    with database.read() as connection:
        revision = schema_revision(connection)
    if revision is None and create:
        upgrade(database)
    elif revision is None:
        raise DatabaseUnusable("there is no ledger in this database yet; run `llm-ledger init`")
    elif revision not in schema.REVISIONS:
        raise _too_new(revision)
    elif revision != schema.REVISIONS[-1]:
        raise DatabaseUnusable(
            f"this ledger has schema {revision}, this llm-ledger needs {schema.REVISIONS[-1]}; "
            "run `llm-ledger init` to upgrade it"
        )


@contextmanager
def _quiet_alembic() -> Iterator[None]:
    """Alembic tells at INFO how it starts: nothing for the log of an application that has not asked for it."""
    logger = logging.getLogger("alembic")
    level = logger.level
    if level == logging.NOTSET:
        logger.setLevel(logging.WARNING)
    try:
        yield
    finally:
        logger.setLevel(level)


@_quiet_alembic()
def upgrade(database: Database) -> tuple[str | None, str]:
    """Bring the schema to this release's revision. Returns (revision before, revision after).

    Everything happens in one transaction: a process that dies here leaves the old schema behind, or none. Another
    one that does the same at the same time waits, and finds it done.
    """
    from alembic import command
    from alembic.config import Config

    config = Config()
    config.set_main_option("script_location", str(script_location()).replace("%", "%%"))
    with database.read() as connection:
        schema_revision(connection)  # refuses what is not ours before anything about it is changed
    database.prepare()
    with database.write() as connection:
        _take_turns(connection)
        before = schema_revision(connection)
        if before is not None and before not in schema.REVISIONS:
            raise _too_new(before)
        config.attributes["connection"] = connection
        command.upgrade(config, "head")
        projections.register(database, connection)
    return before, schema.REVISIONS[-1]


def _take_turns(connection: Connection) -> None:
    # Two transactions on Postgres may well create the same table, until the second one's commit.
    if connection.dialect.name == "postgresql":
        connection.execute(select(func.pg_advisory_xact_lock(schema.APPLICATION_ID)))


def _too_new(revision: str) -> DatabaseUnusable:
    return DatabaseUnusable(
        f"this ledger has schema {revision}, which is newer than this llm-ledger knows "
        f"(up to {schema.REVISIONS[-1]}); upgrade llm-ledger"
    )
