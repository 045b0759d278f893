"""Opening a ledger: where it lies, what is made, what is refused."""

from __future__ import annotations

from pathlib import Path

import pytest
from sqlalchemy import URL, update

import ledger as package
from ledger import Ledger, schema
from ledger.backends import open_database
from ledger.errors import ConfigurationError, DatabaseUnusable, UnknownId
from ledger.events import PriceBookAdopted
from ledger.pricing import PriceBook
from ledger.projections import stored_book
from ledger.queries import find_request
from ledger.rebuild import rebuild
from ledger.verify import verify
from tests.support.clock import NOON, FakeClock, seeded_ids
from tests.support.databases import shared_url


def test_an_absent_ledger_is_created_where_the_environment_says(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "mine.db"
    monkeypatch.setenv("LLM_LEDGER_DATABASE_URL", f"sqlite:///{path}")
    with Ledger.open() as ledger:
        assert ledger.head().position == 1
    assert path.is_file()


def test_without_an_environment_it_lies_in_the_working_directory(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("LLM_LEDGER_DATABASE_URL", raising=False)
    monkeypatch.chdir(tmp_path)
    Ledger.open().close()
    assert (tmp_path / "llm-ledger.db").is_file()


def test_a_url_goes_before_the_environment(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LLM_LEDGER_DATABASE_URL", "nonsense")
    Ledger.open(f"sqlite:///{tmp_path / 'given.db'}").close()
    assert (tmp_path / "given.db").is_file()


@pytest.mark.parametrize("name", ["with space.db", "ünïcode.db", "per%20cent.db", "hash#.db", "what?.db"])
def test_a_file_may_have_any_name(tmp_path: Path, name: str) -> None:
    Ledger.open(URL.create("sqlite", database=str(tmp_path / name)).render_as_string()).close()
    assert (tmp_path / name).is_file()


def test_a_new_ledger_goes_by_the_packaged_prices(ledger: Ledger) -> None:
    (adopted,) = ledger.events()
    assert isinstance(adopted.data, PriceBookAdopted)
    assert adopted.data.digest == PriceBook.packaged().digest
    assert adopted.stream_id == "prices/anthropic"
    assert adopted.occurred_at == adopted.recorded_at == NOON
    with ledger.read() as connection:
        assert stored_book(connection, "anthropic") == PriceBook.packaged()
        assert stored_book(connection, "nobody") is None


def test_opening_again_changes_nothing(tmp_path: Path) -> None:
    url = shared_url(tmp_path)
    with Ledger.open(url) as first:
        head = first.head()
    with Ledger.open(url, create=False) as again:
        assert again.head() == head
        assert verify(again.database).sound


def test_two_at_once_share_one_ledger(tmp_path: Path) -> None:
    url = shared_url(tmp_path)
    with Ledger.open(url) as one, Ledger.open(url) as other:
        assert one.head() == other.head()


@pytest.mark.parametrize(("stored", "advice"), [(0, "run `llm-ledger rebuild`"), (99, "upgrade llm-ledger")])
def test_projections_of_another_release_are_not_written_to(tmp_path: Path, stored: int, advice: str) -> None:
    url = shared_url(tmp_path)
    Ledger.open(url).close()
    database = open_database(url)
    with database.write() as connection:
        connection.execute(update(schema.projections).values(version=stored))
    with pytest.raises(DatabaseUnusable, match=advice):
        Ledger.open(url)
    if stored == 0:
        rebuild(database)
        Ledger.open(url).close()
    database.close()


def test_an_absent_ledger_is_not_created_unasked(tmp_path: Path) -> None:
    with pytest.raises(DatabaseUnusable, match="no ledger in this database yet; run `llm-ledger init`"):
        Ledger.open(f"sqlite:///{tmp_path / 'absent.db'}", create=False)


@pytest.mark.parametrize(
    ("url", "reason"),
    [
        ("nonsense", "is not a database URL"),
        ("mysql://user:secret@host/db", "names mysql"),
        ("sqlite:////nowhere/at/all/ledger.db", "the directory /nowhere/at/all does not exist"),
    ],
)
def test_other_urls_are_refused_without_their_password(url: str, reason: str) -> None:
    with pytest.raises(ConfigurationError, match=reason) as refusal:
        Ledger.open(url)
    assert "secret" not in str(refusal.value)
    assert "\n" not in str(refusal.value)


def test_time_and_ids_are_the_machines_own_unless_given() -> None:
    with Ledger.open("sqlite://") as ledger:
        assert ledger.clock.now().utcoffset() is not None
        assert ledger.ids.new().version == 7
    clock = FakeClock()
    ids = seeded_ids(clock)
    with Ledger.open("sqlite://", clock=clock, ids=ids) as ledger:
        assert (ledger.clock, ledger.ids) == (clock, ids)


def test_a_ledger_in_memory_is_one_for_all_threads_and_gone_when_closed() -> None:
    with Ledger.open("sqlite://") as one, Ledger.open("sqlite:///:memory:") as other:
        assert one.head().position == other.head().position == 1
        assert one.database is not other.database


def test_the_package_exports_what_it_says() -> None:
    assert all(hasattr(package, name) for name in package.__all__)
    with Ledger.open("sqlite://") as ledger, pytest.raises(package.LedgerError) as unknown:
        find_request(ledger, "nothing")
    assert isinstance(unknown.value, UnknownId)
