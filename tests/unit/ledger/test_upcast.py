"""Older events are read in today's shape."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import update

from ledger import Ledger, schema, upcast
from ledger.codec import Columns, body_hash, chain_hash, decode_data
from ledger.errors import LedgerCorrupt
from ledger.events import RequestCostUnknown
from ledger.rebuild import differences, rebuild
from ledger.store import EventStore
from ledger.verify import verify
from tests.support.history import History
from tests.support.ledgers import dump

TYPE = "request.cost_unknown"


@pytest.fixture
def version_three(monkeypatch: pytest.MonkeyPatch) -> None:
    """As if the reason had been called `why` and then `because` in earlier releases."""

    def renamed(old: str, new: str) -> Any:
        return lambda body: {**{key: value for key, value in body.items() if key != old}, new: body[old]}

    monkeypatch.setitem(upcast.SCHEMA_VERSIONS, TYPE, 3)
    monkeypatch.setitem(upcast.UPCASTERS, (TYPE, 1), renamed("why", "because"))
    monkeypatch.setitem(upcast.UPCASTERS, (TYPE, 2), renamed("because", "reason"))


@pytest.mark.usefixtures("version_three")
@pytest.mark.parametrize(("version", "field"), [(1, "why"), (2, "because"), (3, "reason")])
def test_each_version_is_read(version: int, field: str) -> None:
    assert decode_data(TYPE, version, f'{{"{field}":"x"}}') == RequestCostUnknown(reason="x")


@pytest.mark.usefixtures("version_three")
def test_what_an_upcaster_makes_is_checked() -> None:
    with pytest.raises(LedgerCorrupt, match="cannot be read"):
        decode_data(TYPE, 2, '{"because":1}')


def test_a_body_of_today_is_left_alone() -> None:
    body = {"reason": "x"}
    assert upcast.upcast(TYPE, 1, body) is body


def test_a_version_of_tomorrow_is_refused() -> None:
    with pytest.raises(LedgerCorrupt, match="upgrade this installation"):
        upcast.upcast(TYPE, 2, {})


def test_todays_chain_is_whole() -> None:
    upcast.check_chain()


@pytest.fixture
def hole(monkeypatch: pytest.MonkeyPatch) -> None:
    """As if somebody had forgotten the step to version 3."""
    monkeypatch.setitem(upcast.SCHEMA_VERSIONS, TYPE, 3)
    monkeypatch.setitem(upcast.UPCASTERS, (TYPE, 1), dict)


HOLE = r"no upcaster from version 2 of request\.cost_unknown: .* install a complete llm-ledger"


@pytest.mark.usefixtures("hole")
def test_a_missing_upcaster_is_found_before_a_ledger_is_opened(tmp_path: Path) -> None:
    with pytest.raises(LedgerCorrupt, match=HOLE):
        Ledger.open(f"sqlite:///{tmp_path / 'ledger.db'}")
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("work", [rebuild, differences])
def test_a_missing_upcaster_is_found_before_the_log_is_folded(
    ledger: Ledger, request: pytest.FixtureRequest, work: Callable[..., object]
) -> None:
    request.getfixturevalue("hole")
    with pytest.raises(LedgerCorrupt, match=HOLE):
        work(ledger.database, lambda _done, _total: pytest.fail("it began all the same"))


# --- from a newer release ------------------------------------------------------------------------------------

NEWER = [("request.cost_unknown", 2), ("request.teleported", 1)]
UPGRADE = r"version \d is from a newer llm-ledger; upgrade this installation"


@pytest.fixture(params=NEWER, ids=["a newer version", "an unknown type"])
def newer(request: pytest.FixtureRequest, ledger: Ledger, history: History) -> Ledger:
    """A sound ledger whose last event was appended by a release that is not out yet."""
    history.succeed(history.request(mode="standard"))
    ledger.append(history.take())
    event_type, version = request.param
    head = ledger.head()
    body = b'{"whither":"away"}'
    columns: Columns = (head.position + 1, "request/x", 1, b"i" * 16, event_type, version, 1, 1, None, None)
    digest = body_hash(event_type, version, body)
    tip = chain_hash(head.hash, columns, digest)
    with ledger.database.write() as connection:
        ledger.database.insert(connection, schema.events, [(*columns, body.decode(), digest, tip)])
        connection.execute(update(schema.ledger_head).values(position=head.position + 1, hash=tip))
    return ledger


def test_reading_an_event_from_a_newer_release_says_to_upgrade(newer: Ledger) -> None:
    with pytest.raises(LedgerCorrupt, match=UPGRADE):
        list(newer.events())


def test_what_cannot_be_read_can_still_be_listed_as_stored(newer: Ledger) -> None:
    assert [row.position for row in EventStore(newer.database, newer.clock).read_rows()] == [1, 2, 3, 4, 5]


def test_folding_an_event_from_a_newer_release_says_to_upgrade(newer: Ledger) -> None:
    before = dump(newer.database)
    with pytest.raises(LedgerCorrupt, match=UPGRADE):
        rebuild(newer.database)
    assert dump(newer.database) == before


def test_verifying_an_event_from_a_newer_release_says_to_upgrade(newer: Ledger) -> None:
    with pytest.raises(LedgerCorrupt, match=UPGRADE):
        verify(newer.database)


@pytest.mark.parametrize("version", [0, -1])
def test_versions_begin_at_one(version: int) -> None:
    with pytest.raises(LedgerCorrupt, match="versions begin at 1"):
        decode_data(TYPE, version, '{"reason":"x"}')
