"""A connection to Postgres that breaks in the middle of an append: what was stored is known, and stored once."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TypeVar

import pytest
from sqlalchemy import Connection, text

from ledger import Ledger
from ledger.errors import DatabaseUnavailable
from ledger.queries import outstanding
from ledger.verify import verify
from tests.support import postgres
from tests.support.failing_proxy import FailingProxy, failing_proxy
from tests.support.history import History
from tests.support.world import World

T = TypeVar("T")


@pytest.fixture
def url() -> str:
    return postgres.fresh_database()


@pytest.fixture
def proxy() -> Iterator[FailingProxy]:
    with (
        TemporaryDirectory(prefix="wire-") as folder,
        failing_proxy(postgres.fresh_database(), Path(folder)) as proxy,
    ):
        yield proxy


def events_of(size: int) -> History:
    history = History()
    for _ in range(size):
        history.configure()
    return history


def killing(url: str, times: int) -> Callable[[Connection], None]:
    """A guard that has its own session ended by an administrator, so many times."""
    left = [times]

    def guard(connection: Connection) -> None:
        if left[0]:
            left[0] -= 1
            process = connection.scalar(text("SELECT pg_backend_pid()"))
            with Ledger.open(url) as administrator, administrator.read() as session:
                assert session.scalar(text(f"SELECT pg_terminate_backend({process}, 5000)"))

    return guard


@pytest.mark.parametrize("size", [1, 500], ids=["by INSERT", "by COPY"])
@pytest.mark.parametrize("times", [1, 3])
def test_a_session_that_is_ended_in_the_middle_of_an_append_is_replaced(
    url: str, size: int, times: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("ledger.store.AGAIN_AFTER", (0.0, 0.0, 0.0))
    with Ledger.open(url) as ledger:
        positions = ledger.append(events_of(size).take(), guard=killing(url, times))
        assert positions == list(range(2, size + 2))
        assert ledger.head().position == size + 1
        assert verify(ledger.database).sound


def test_one_that_is_ended_every_time_is_given_up_and_nothing_of_it_is_stored(
    url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("ledger.store.AGAIN_AFTER", (0.0,))
    with Ledger.open(url) as ledger:
        with pytest.raises(DatabaseUnavailable, match="terminating connection"):
            ledger.append(events_of(1).take(), guard=killing(url, 2))
        assert ledger.head().position == 1


@pytest.mark.parametrize("size", [1, 500], ids=["by INSERT", "by COPY"])
def test_a_commit_whose_answer_is_lost_is_found_to_be_stored(proxy: FailingProxy, size: int) -> None:
    with Ledger.open(proxy.url) as ledger:
        proxy.cut_commits = 1
        assert ledger.append(events_of(size).take()) == list(range(2, size + 2))
        assert proxy.cuts == 1
        assert ledger.head().position == size + 1
        assert verify(ledger.database).sound


def test_even_if_what_allowed_it_does_not_hold_any_more(proxy: FailingProxy) -> None:
    """A lease that ends meanwhile refuses what is not stored; what is stored was allowed."""

    def guard(_connection: Connection) -> None:
        assert not proxy.cuts

    with Ledger.open(proxy.url) as ledger:
        proxy.cut_commits = 1
        assert ledger.append(events_of(1).take(), guard=guard) == [2]


def patiently(act: Callable[[], T]) -> T:
    """What comes of it, at the second attempt if need be."""
    try:
        return act()
    except DatabaseUnavailable:
        return act()


@pytest.mark.parametrize("skipped", range(0, 60, 6))
def test_wherever_in_the_life_of_a_batch_an_answer_is_lost_it_is_paid_once(proxy: FailingProxy, skipped: int) -> None:
    world = World(proxy.url)
    world.submit(4)
    proxy.skip_commits, proxy.cut_commits = skipped, 1
    while not patiently(lambda: outstanding(world.ledger).idle):
        patiently(world.worker.tick)
        world.clock.advance(max(patiently(world.until_due), 0.5))
        assert world.clock.monotonic() < 600
    assert proxy.cuts == 1
    assert world.statuses() == ["succeeded"] * 4
    assert world.provider.params_taken.total() == 4
    world.check()
    world.close()
