"""The schema's life: what the migrations make is what the package declares, in one transaction or not at all."""

from __future__ import annotations

import logging
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy import inspect, text

from ledger import Ledger, migrate, schema
from ledger.backends import Database, open_database
from ledger.backends.sqlite import driver
from ledger.errors import DatabaseUnusable
from tests.support.migrations import downgrade


@pytest.fixture
def database() -> Iterator[Database]:
    database = open_database("sqlite://")
    yield database
    database.close()


def objects(database: Database) -> dict[tuple[str, str], str]:
    """Everything in a SQLite database: (kind, name) → its SQL, white space evened out."""
    with database.read() as connection:
        rows = connection.execute(text("SELECT type, name, sql FROM sqlite_master WHERE sql IS NOT NULL")).all()
    return {(kind, name): re.sub(r"\s+", " ", sql).strip() for kind, name, sql in rows}


# --- migrations and schema -----------------------------------------------------------------------------------


def test_the_revisions_are_those_of_the_scripts() -> None:
    scripts = ScriptDirectory(str(migrate.script_location()))
    found = [script.revision for script in scripts.walk_revisions()]
    assert tuple(reversed(found)) == schema.REVISIONS
    assert scripts.get_heads() == [schema.REVISIONS[-1]]


def test_the_migrations_make_the_schema_that_is_declared(database: Database) -> None:
    assert migrate.upgrade(database) == (None, schema.REVISIONS[-1])
    with database.read() as connection:
        context = MigrationContext.configure(connection, opts={"compare_type": True})
        assert compare_metadata(context, schema.metadata) == []


def test_what_alembic_does_not_compare_is_the_same_too(database: Database) -> None:
    """Partial indexes, tables without rowid, triggers, the order of columns: the statements as such."""
    declared = open_database("sqlite://")
    with declared.write() as connection:
        schema.metadata.create_all(connection)
        for trigger in schema.append_only_triggers("sqlite"):
            connection.execute(text(trigger))
    migrate.upgrade(database)
    assert _words(database) == _words(declared)
    assert _columns(database) == _columns(declared)
    declared.close()


def _words(database: Database) -> dict[tuple[str, str], list[str]]:
    """Constraints may stand in another order within their table."""
    found = {key: sorted(re.findall(r"[^\s,()]+", sql)) for key, sql in objects(database).items()}
    found.pop(("table", "alembic_version"), None)
    return found


def _columns(database: Database) -> dict[str, list[str]]:
    with database.read() as connection:
        inspector = inspect(connection)
        return {name: [column["name"] for column in inspector.get_columns(name)] for name in schema.metadata.tables}


def test_every_table_of_the_log_has_its_place(database: Database) -> None:
    projected = {table.name for table in schema.PROJECTION_TABLES}
    rest = set(schema.metadata.tables) - projected
    assert rest == {"events", "ledger_head", "anchors", "payloads", "payload_blocks", "projections", "leases"}


def test_triggers_are_written_for_the_databases_we_speak() -> None:
    assert schema.append_only_triggers("sqlite")
    with pytest.raises(KeyError):
        schema.append_only_triggers("oracle")


def test_a_downgrade_leaves_nothing_and_a_ledger_can_begin_anew(database: Database) -> None:
    migrate.upgrade(database)
    downgrade(database)
    assert set(objects(database)) <= {("table", "alembic_version")}
    with database.read() as connection:
        assert migrate.schema_revision(connection) is None
    migrate.ensure_schema(database, create=True)
    with database.read() as connection:
        assert migrate.schema_revision(connection) == schema.REVISIONS[-1]


def test_an_upgrade_that_fails_leaves_nothing_behind(database: Database, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*_: Any) -> None:
        raise ZeroDivisionError

    monkeypatch.setattr("ledger.projections.register", fail)
    with pytest.raises(ZeroDivisionError):
        migrate.upgrade(database)
    assert objects(database) == {}
    monkeypatch.undo()
    migrate.upgrade(database)
    assert len(objects(database)) > 10


def test_an_upgrade_that_fails_in_the_middle_leaves_nothing_behind(
    database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("ledger.schema.append_only_triggers", lambda _dialect: ("CREATE TRIGGER nonsense",))
    with pytest.raises(Exception, match=r"syntax error|incomplete input"):
        migrate.upgrade(database)
    assert objects(database) == {}


def test_an_upgrade_of_today_changes_nothing(database: Database) -> None:
    migrate.upgrade(database)
    before = objects(database)
    assert migrate.upgrade(database) == (schema.REVISIONS[-1], schema.REVISIONS[-1])
    assert objects(database) == before


def test_scripts_come_from_the_wheel_if_they_are_there(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(migrate, "_PACKAGE", tmp_path / "ledger")
    assert migrate.script_location() == tmp_path / "alembic"
    (tmp_path / "ledger" / "_alembic").mkdir(parents=True)
    assert migrate.script_location() == tmp_path / "ledger" / "_alembic"


# --- which database is it? -----------------------------------------------------------------------------------


def pretend(database: Database, *statements: str) -> None:
    with database.write() as connection:
        for statement in statements:
            connection.execute(text(statement))


def refusal_of(database: Database, *, create: bool = True) -> str:
    with pytest.raises(DatabaseUnusable) as refusal:
        migrate.ensure_schema(database, create=create)
    assert "\n" not in str(refusal.value)
    return str(refusal.value)


def test_an_empty_database_is_set_up_only_if_asked(database: Database) -> None:
    assert "run `llm-ledger init`" in refusal_of(database, create=False)
    assert objects(database) == {}
    migrate.ensure_schema(database, create=True)
    migrate.ensure_schema(database, create=False)


def test_a_database_of_other_tables_is_left_alone(database: Database) -> None:
    pretend(database, *(f"CREATE TABLE {name} (id INTEGER)" for name in ("users", "orders", "items", "visits")))
    before = objects(database)
    assert refusal_of(database) == (
        "this database holds other tables (items, orders, users) and no ledger; "
        "name another one in LLM_LEDGER_DATABASE_URL"
    )
    with pytest.raises(DatabaseUnusable, match="holds other tables"):
        migrate.upgrade(database)
    assert objects(database) == before


def test_another_programs_migrations_are_left_alone(database: Database) -> None:
    pretend(
        database,
        "CREATE TABLE alembic_version (version_num TEXT)",
        "INSERT INTO alembic_version VALUES ('abc')",
        "CREATE TABLE users (id INTEGER)",
    )
    assert "holds other tables" in refusal_of(database)


def test_a_schema_of_a_later_release_asks_for_an_upgrade_of_the_program(database: Database) -> None:
    migrate.upgrade(database)
    pretend(database, "UPDATE alembic_version SET version_num = '9999'")
    assert "schema 9999, which is newer than this llm-ledger knows" in refusal_of(database)
    with pytest.raises(DatabaseUnusable, match="schema 9999, which is newer"):
        migrate.upgrade(database)


def test_a_schema_of_an_earlier_release_asks_for_init(database: Database, monkeypatch: pytest.MonkeyPatch) -> None:
    migrate.upgrade(database)
    monkeypatch.setattr(schema, "REVISIONS", (*schema.REVISIONS, "9998"))
    assert "this llm-ledger needs 9998; run `llm-ledger init` to upgrade it" in refusal_of(database)


def test_a_refused_ledger_gives_its_connections_back(tmp_path: Path) -> None:
    url = f"sqlite:///{tmp_path / 'ledger.db'}"
    database = open_database(url)
    pretend(database, "CREATE TABLE users (id INTEGER)")
    database.close()
    with pytest.raises(DatabaseUnusable):
        Ledger.open(url)
    assert not (tmp_path / "ledger.db-wal").exists()


def test_a_foreign_file_stays_as_it_is(tmp_path: Path) -> None:
    """Down to its journal mode, which a ledger's file has changed once for all."""
    path = tmp_path / "other.db"
    foreign = driver.connect(str(path))
    foreign.execute("CREATE TABLE other (x)")
    foreign.commit()
    foreign.close()
    before = path.read_bytes()
    with pytest.raises(DatabaseUnusable, match="other tables"):
        Ledger.open(f"sqlite:///{path}")
    with pytest.raises(DatabaseUnusable, match="other tables"):
        migrate.upgrade(open_database(f"sqlite:///{path}"))
    assert path.read_bytes() == before


def test_a_ledger_writes_ahead(tmp_path: Path) -> None:
    Ledger.open(f"sqlite:///{tmp_path / 'ledger.db'}").close()
    connection = driver.connect(str(tmp_path / "ledger.db"))
    assert connection.execute("PRAGMA journal_mode").fetchone() == ("wal",)
    connection.close()


def test_looking_for_a_ledger_makes_no_file(tmp_path: Path) -> None:
    with pytest.raises(DatabaseUnusable, match="no ledger in this database yet"):
        Ledger.open(f"sqlite:///{tmp_path / 'ledger.db'}", create=False)
    assert list(tmp_path.iterdir()) == []


# --- what others see of it -----------------------------------------------------------------------------------


@pytest.mark.parametrize(("level", "tells"), [(logging.NOTSET, False), (logging.INFO, True)])
def test_alembic_tells_how_it_starts_only_who_asked(
    database: Database, caplog: pytest.LogCaptureFixture, level: int, tells: bool
) -> None:
    caplog.set_level(logging.INFO)
    logger = logging.getLogger("alembic")
    before = logger.level
    logger.setLevel(level)
    try:
        migrate.upgrade(database)
        assert logger.level == level
    finally:
        logger.setLevel(before)
    assert any(record.name.startswith("alembic") for record in caplog.records) is tells
