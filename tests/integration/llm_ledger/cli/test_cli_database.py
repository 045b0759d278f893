"""`init`, and databases that are no ledger of this release."""

from __future__ import annotations

from typing import Any

import pytest

from ledger.backends import open_database
from tests.support.databases import on_postgres

COMMANDS = [("init",), ("requests",), ("savings", "--json"), ("run", "--until-idle"), ("verify",), ("rebuild",)]


def test_init_creates_once(newcomer: Any) -> None:
    assert ": created, schema " in newcomer("init").out
    assert "is up to date" in newcomer("init").out
    document = newcomer("init", "--json").document
    assert document["before"] == document["after"]
    assert document["database"] == open_database(newcomer.url).url


def test_an_absent_ledger_is_created_at_first_use_but_not_by_an_audit(newcomer: Any) -> None:
    refused = newcomer("verify")
    assert refused.code == 3
    assert "llm-ledger init" in refused.complaint
    if on_postgres():  # nothing is made in a database of others without being asked
        assert newcomer("savings").complaint == refused.complaint
        assert newcomer("init").code == 0
    assert newcomer("savings", "--json").document["requests"]["total"] == 0
    assert newcomer("verify").code == 0


@pytest.mark.parametrize("command", COMMANDS, ids=lambda command: command[0])
def test_a_foreign_database_is_left_alone(newcomer: Any, command: tuple[str, ...]) -> None:
    newcomer.alter("CREATE TABLE customers (name TEXT)")
    done = newcomer(*command)
    assert done.code == 3
    assert "customers" in done.complaint


@pytest.mark.parametrize("command", COMMANDS, ids=lambda command: command[0])
def test_a_file_that_is_no_database_is_told(program: Any, command: tuple[str, ...]) -> None:
    path = program.folder / "letter.db"
    path.write_bytes(b"This is a letter to my grandmother. " * 100)
    done = program(*command, LLM_LEDGER_DATABASE_URL=f"sqlite:///{path}")
    assert done.code == 3
    assert "not a SQLite database" in done.complaint


@pytest.mark.parametrize("command", COMMANDS, ids=lambda command: command[0])
def test_a_newer_ledger_asks_for_a_newer_program(program: Any, command: tuple[str, ...]) -> None:
    program("init")
    program.alter("UPDATE alembic_version SET version_num = '9999'")
    done = program(*command)
    assert done.code == 3
    assert "upgrade llm-ledger" in done.complaint


@pytest.mark.parametrize(
    "url",
    [
        "sqlite:////no/such/folder/ledger.db",
        "nonsense",
        "mysql://root:hunter2@db/x",
        "postgresql://root:hunter2@127.0.0.1:1/x",
        "postgresql://root:hunter2@127.0.0.1:port/x",
        "postgresql:///x?host=/no/such/folder&password=hunter2",
    ],
)
def test_an_unusable_url_is_told_without_its_password(program: Any, url: str) -> None:
    done = program("requests", LLM_LEDGER_DATABASE_URL=url)
    assert done.code == 3
    assert done.complaint
    assert "hunter2" not in done.err + done.out
