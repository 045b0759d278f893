"""`init`, and databases that are no ledger of this release."""

from __future__ import annotations

from typing import Any

import pytest
from pysqlite3 import dbapi2 as sqlite

COMMANDS = [("init",), ("requests",), ("savings", "--json"), ("run", "--until-idle"), ("verify",), ("rebuild",)]


def execute(program: Any, *statements: str) -> None:
    connection = sqlite.connect(program.folder / "ledger.db")
    for statement in statements:
        connection.execute(statement)
    connection.commit()
    connection.close()


def test_init_creates_once(program: Any) -> None:
    assert ": created, schema " in program("init").out
    assert "is up to date" in program("init").out
    document = program("init", "--json").document
    assert document["before"] == document["after"]
    assert document["database"] == program.url


def test_an_absent_ledger_is_created_at_first_use_but_not_by_an_audit(program: Any) -> None:
    refused = program("verify")
    assert refused.code == 3
    assert "llm-ledger init" in refused.complaint
    assert program("savings", "--json").document["requests"]["total"] == 0
    assert program("verify").code == 0


@pytest.mark.parametrize("command", COMMANDS, ids=lambda command: command[0])
def test_a_foreign_database_is_left_alone(program: Any, command: tuple[str, ...]) -> None:
    execute(program, "CREATE TABLE customers (name TEXT)")
    done = program(*command)
    assert done.code == 3
    assert "customers" in done.complaint


@pytest.mark.parametrize("command", COMMANDS, ids=lambda command: command[0])
def test_a_file_that_is_no_database_is_told(program: Any, command: tuple[str, ...]) -> None:
    (program.folder / "ledger.db").write_bytes(b"This is a letter to my grandmother. " * 100)
    done = program(*command)
    assert done.code == 3
    assert "not a SQLite database" in done.complaint


@pytest.mark.parametrize("command", COMMANDS, ids=lambda command: command[0])
def test_a_newer_ledger_asks_for_a_newer_program(program: Any, command: tuple[str, ...]) -> None:
    program("init")
    execute(program, "UPDATE alembic_version SET version_num = '9999'")
    done = program(*command)
    assert done.code == 3
    assert "upgrade llm-ledger" in done.complaint


@pytest.mark.parametrize("url", ["sqlite:////no/such/folder/ledger.db", "nonsense", "mysql://root:hunter2@db/x"])
def test_an_unusable_url_is_told_without_its_password(program: Any, url: str) -> None:
    done = program("requests", LLM_LEDGER_DATABASE_URL=url)
    assert done.code == 3
    assert done.complaint
    assert "hunter2" not in done.err
