"""Whatever is done to whichever row of a thousand: `verify` says so. One verification for each."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from ledger import Ledger
from ledger.verify import verify
from tests.support.tampering import TAMPERINGS, Log
from tests.support.thousand import EVENTS, ledger_of_a_thousand

pytestmark = pytest.mark.soak


@pytest.fixture(scope="module")
def ledger() -> Iterator[Ledger]:
    with ledger_of_a_thousand() as ledger:
        yield ledger


@pytest.fixture(scope="module")
def log(ledger: Ledger) -> Log:
    return Log(ledger)


@pytest.mark.parametrize("how", TAMPERINGS)
def test_every_tampering_with_every_row_is_found(ledger: Ledger, log: Log, how: str) -> None:
    found = 0
    for position in range(1, EVENTS + 1):
        with log.tampered(how, position):
            found += not verify(ledger.database).sound
    assert found == EVENTS
    assert verify(ledger.database).problems == ()
