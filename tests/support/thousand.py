"""A ledger of a thousand events."""

from __future__ import annotations

from typing import Final

from ledger import Ledger
from ledger.events import prices_stream
from ledger.prices import adopt_packaged_prices
from tests.support.clock import FakeClock, seeded_ids
from tests.support.history import History
from tests.support.ledgers import bare_ledger
from tests.support.mixed import mixed_history

__all__ = ["EVENTS", "ledger_of_a_thousand"]

EVENTS: Final = 1000


def ledger_of_a_thousand() -> Ledger:
    """Some of everything, over and over, to the thousandth event. Close it."""
    clock = FakeClock()
    ids = seeded_ids(clock)
    ledger = bare_ledger(clock, ids)
    adopt_packaged_prices(ledger)
    history = History(clock, ids)
    history.starts_after(prices_stream("anthropic"), 1)
    while (position := ledger.head().position) < EVENTS:
        ledger.append(mixed_history(history).take()[: EVENTS - position])
    return ledger
