"""On Postgres nobody waits for somebody else who reaches for the same lease, or writes under it, and stops there."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import pytest
from sqlalchemy import Connection

from ledger import Ledger
from ledger.backends import Database
from ledger.backends.postgres import PostgresDatabase
from scheduler.leases import Lease, Leases
from tests.support import postgres
from tests.support.clock import FakeClock

SECONDS = 15.0


class Dawdling:
    """A database in whose write transactions something else happens before they are committed."""

    def __init__(self, database: Database, meanwhile: Callable[[], object]) -> None:
        self._database = database
        self._meanwhile = meanwhile

    @contextmanager
    def write(self) -> Iterator[Connection]:
        with self._database.write() as connection:
            yield connection
            self._meanwhile()

    def __getattr__(self, name: str) -> Any:
        return getattr(self._database, name)


class Scene:
    """Two workers on one database, each with connections of its own. Whoever waits for the other fails after 1 s."""

    def __init__(self, clock: FakeClock) -> None:
        url = postgres.fresh_database()
        self.clock = clock
        self.ours = PostgresDatabase(url, lock_timeout="1s")
        self.theirs = PostgresDatabase(url, lock_timeout="1s")
        self.us = Leases(Ledger(self.ours, clock=clock), "us", SECONDS)
        self.got: list[Lease | None] = []

    def they(self, *, meanwhile_we_reach_for: str | None = None) -> Leases:
        if meanwhile_we_reach_for is None:
            return Leases(Ledger(self.theirs, clock=self.clock), "they", SECONDS)
        wanted = meanwhile_we_reach_for
        slow: Any = Dawdling(self.theirs, lambda: self.got.append(self.us.acquire(wanted)))
        return Leases(Ledger(slow, clock=self.clock), "they", SECONDS)

    def close(self) -> None:
        self.ours.close()
        self.theirs.close()


@pytest.fixture
def scene(clock: FakeClock) -> Iterator[Scene]:
    scene = Scene(clock)
    yield scene
    scene.close()


def test_while_somebody_takes_it_for_the_first_time(scene: Scene) -> None:
    assert scene.they(meanwhile_we_reach_for="b1").acquire("b1") is not None
    assert scene.got == [None]
    assert scene.us.acquire("b1") is None


def test_while_somebody_takes_what_has_ended(scene: Scene) -> None:
    assert scene.they().acquire("b1") is not None
    scene.clock.advance(SECONDS)
    assert scene.they(meanwhile_we_reach_for="b1").acquire("b1") is not None
    assert scene.got == [None]
    assert scene.us.acquire("b1") is None


def test_while_its_late_holder_writes(scene: Scene) -> None:
    late = scene.they().acquire("b1")
    assert late is not None
    scene.clock.advance(SECONDS)
    with scene.theirs.write() as connection:
        late.guard(connection)
        assert scene.us.acquire("b1") is None
    present = scene.us.acquire("b1")
    assert present is not None
    assert present.fence == late.fence + 1


def test_another_one_is_free_all_the_same(scene: Scene) -> None:
    assert scene.they(meanwhile_we_reach_for="b2").acquire("b1") is not None
    assert [lease.id for lease in scene.got if lease is not None] == ["b2"]
