"""What earlier releases wrote is read as it was, proven by the hashes of then, and amounts to the same rows."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from ledger import Ledger, schema
from ledger.codec import GENESIS, body_hash, chain_hash
from ledger.rebuild import rebuild
from ledger.upcast import SCHEMA_VERSIONS
from ledger.verify import verify
from tests.golden import frozen, make
from tests.golden.frozen import event_lines, insert, lines_of, logs, newest, projection_lines, savings_text
from tests.support import postgres
from tests.support.ledgers import bare_ledger


@pytest.fixture(params=logs(), ids=lambda log: log.name)
def log(request: pytest.FixtureRequest) -> Path:
    folder: Path = request.param
    return folder


@pytest.fixture(params=["sqlite", "postgres"])
def replayed(request: pytest.FixtureRequest, log: Path) -> Iterator[Ledger]:
    """A ledger that holds the log and nothing that follows from it."""
    with bare_ledger(url=postgres.fresh_database() if request.param == "postgres" else "sqlite://") as ledger:
        insert(ledger.database, lines_of(log))
        yield ledger


def test_every_schema_has_its_log() -> None:
    assert {log.name for log in logs()} >= set(schema.REVISIONS)


def test_every_event_is_in_some_log() -> None:
    """In each version that was ever written: an upcaster that nothing is fed to proves nothing."""
    catalogue = {(name, version) for name, newest in SCHEMA_VERSIONS.items() for version in range(1, newest + 1)}
    found = {(line.type, line.schema_version) for log in logs() for line in lines_of(log)}
    assert found == catalogue, "see tests/golden/README.md"


def test_every_projection_has_rows(log: Path) -> None:
    expected = newest(log, "projections")
    assert expected is not None
    text = expected.read_text()
    assert [table.name for table in schema.PROJECTION_TABLES if f'{{"table":"{table.name}",' not in text] == []


def test_the_hashes_of_then_are_the_hashes_of_today(log: Path) -> None:
    previous = GENESIS
    for line in lines_of(log):
        data = bytes(line.data)
        assert body_hash(line.type, line.schema_version, data).hex() == line.body_hash
        columns = frozen.columns(line)[:10]
        previous = chain_hash(previous, columns, bytes.fromhex(line.body_hash))
        assert previous.hex() == line.hash


def test_rows_of_then_are_stored_as_they_are(log: Path, replayed: Ledger) -> None:
    assert event_lines(replayed) == (log / "events.jsonl").read_bytes()


@pytest.mark.parametrize(("kind", "made"), [("projections", projection_lines), ("savings", savings_text)])
def test_it_amounts_to_the_same_byte_for_byte(
    log: Path, replayed: Ledger, kind: str, made: Callable[[Ledger], bytes]
) -> None:
    rebuild(replayed.database)
    expected = newest(log, kind)
    assert expected is not None
    assert made(replayed) == expected.read_bytes(), "see tests/golden/README.md"


def test_it_verifies(log: Path, replayed: Ledger) -> None:
    rebuild(replayed.database)
    found = verify(replayed.database)
    assert found.problems == ()
    assert found.head == lines_of(log)[-1].hash


# --- how golden files are made -------------------------------------------------------------------------------


@pytest.fixture
def workshop(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A copy of the golden files, for `make` to work on."""
    folder = tmp_path / "golden"
    shutil.copytree(frozen.FOLDER, folder)
    monkeypatch.setattr(frozen, "FOLDER", folder)
    monkeypatch.setattr(make, "FOLDER", folder)
    return folder


def contents(folder: Path) -> dict[str, bytes]:
    return {str(file.relative_to(folder)): file.read_bytes() for file in folder.rglob("*.json*")}


def test_nothing_is_made_while_nothing_changes(workshop: Path) -> None:
    before = contents(workshop)
    assert make.main(schema.REVISIONS[-1]) == []
    assert contents(workshop) == before


def test_what_changes_is_added_and_nothing_rewritten(workshop: Path) -> None:
    stale = workshop / schema.REVISIONS[0] / "projections.9.jsonl"
    stale.write_text("what an earlier release made of it\n")
    before = contents(workshop)
    made = [str(file.relative_to(workshop)) for file in make.main("next")]
    assert made == [
        "next/events.jsonl",
        f"{schema.REVISIONS[0]}/projections.10.jsonl",
        "next/projections.1.jsonl",
        "next/savings.1.json",
    ]
    after = contents(workshop)
    assert {name: after[name] for name in before} == before
