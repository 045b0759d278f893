"""Which database the tests run on: SQLite, or with `pytest --database postgres` the whole suite on Postgres."""

from __future__ import annotations

import os
from pathlib import Path

from tests.support import postgres

__all__ = ["VARIABLE", "absent_url", "memory_url", "on_postgres", "shared_url"]

VARIABLE = "LLM_LEDGER_TEST_DATABASE"


def on_postgres() -> bool:
    """True if this run is the one on Postgres."""
    return os.environ.get(VARIABLE) == "postgres"


def memory_url() -> str:
    """A new ledger for one thread of one process."""
    return postgres.fresh_database() if on_postgres() else "sqlite://"


def shared_url(folder: Path) -> str:
    """A new ledger for several threads and processes."""
    return postgres.fresh_database() if on_postgres() else absent_url(folder)


def absent_url(folder: Path) -> str:
    """Where a ledger could be made, by `init` for one."""
    return postgres.fresh_database(empty=True) if on_postgres() else f"sqlite:///{folder / 'ledger.db'}"
