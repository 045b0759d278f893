"""Fixtures for every test that needs a ledger: time stands still, ids follow from a seed, storage is in memory."""

from __future__ import annotations

import os
from collections.abc import Iterator

import pytest
from hypothesis import settings

from ledger import Ledger
from ledger.events import prices_stream
from ledger.ids import IdFactory
from ledger.prices import adopt_packaged_prices
from tests.support import databases, postgres
from tests.support.clock import FakeClock, seeded_ids
from tests.support.history import History
from tests.support.ledgers import bare_ledger

# How long an example takes says nothing on a shared machine.
settings.register_profile("ledger", deadline=None)
settings.load_profile("ledger")


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--database", choices=("sqlite", "postgres"), default="sqlite", help="what ledgers live in")


def pytest_configure(config: pytest.Config) -> None:
    # By environment, so that workers and subprocesses of this run are told as well.
    os.environ[databases.VARIABLE] = config.getoption("--database")


def pytest_report_header(config: pytest.Config) -> str:
    name = config.getoption("--database")
    return f"ledgers live in: {f'Postgres {postgres.server_version()}' if name == 'postgres' else 'SQLite'}"


@pytest.fixture(autouse=True)
def _databases_are_dropped() -> Iterator[None]:
    with postgres.dropped_afterwards():
        yield


@pytest.fixture
def clock() -> FakeClock:
    return FakeClock()


@pytest.fixture
def ids(clock: FakeClock) -> IdFactory:
    return seeded_ids(clock)


@pytest.fixture
def ledger(clock: FakeClock, ids: IdFactory) -> Iterator[Ledger]:
    """A ledger whose only event is the adoption of the packaged price book."""
    with bare_ledger(clock, ids) as ledger:
        adopt_packaged_prices(ledger)
        yield ledger


@pytest.fixture
def history(clock: FakeClock, ids: IdFactory) -> History:
    """Events to append to `ledger`."""
    history = History(clock, ids)
    history.starts_after(prices_stream("anthropic"), 1)
    return history
