"""Older events are read in today's shape."""

from __future__ import annotations

from typing import Any

import pytest

from ledger import Ledger, upcast
from ledger.codec import decode_data
from ledger.errors import LedgerCorrupt
from ledger.events import RequestCostUnknown

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


def test_a_missing_upcaster_is_found_before_a_ledger_is_opened(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(upcast.SCHEMA_VERSIONS, TYPE, 3)
    monkeypatch.setitem(upcast.UPCASTERS, (TYPE, 1), dict)
    with pytest.raises(LedgerCorrupt, match=r"no upcaster from version 2 of request\.cost_unknown"):
        Ledger.open("sqlite://")
