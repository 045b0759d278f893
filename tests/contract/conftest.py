"""The databases that have to keep the contract. A new backend is one more parameter."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from ledger.backends import Database, open_database
from ledger.migrate import upgrade
from ledger.store import EventStore
from tests.support import postgres
from tests.support.clock import FakeClock

BACKENDS = ("sqlite-file", "sqlite-memory", "postgres")
SHARED_BACKENDS = ("sqlite-file", "postgres")
"""Those that several processes can open."""


@pytest.fixture(params=BACKENDS)
def database_url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    return _url(request.param, tmp_path)


@pytest.fixture(params=SHARED_BACKENDS)
def shared_url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    return _url(request.param, tmp_path)


@pytest.fixture
def database(database_url: str) -> Iterator[Database]:
    """An empty log with its schema."""
    database = open_database(database_url)
    upgrade(database)
    yield database
    database.close()


@pytest.fixture
def store(database: Database, clock: FakeClock) -> EventStore:
    return EventStore(database, clock)


def _url(backend: str, folder: Path) -> str:
    if backend == "postgres":
        return postgres.fresh_database()
    return "sqlite://" if backend == "sqlite-memory" else f"sqlite:///{folder / 'ledger.db'}"
