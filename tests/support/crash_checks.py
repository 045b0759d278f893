"""What must hold of a ledger and its provider once the story of `crash_story` is over, however often it broke off."""

from __future__ import annotations

from collections.abc import Mapping
from decimal import Decimal
from uuid import UUID

from ledger import Ledger
from ledger.events import CacheUsageRecorded
from ledger.queries import outstanding, requests
from ledger.rebuild import rebuild
from ledger.savings import Period
from ledger.summary import savings
from llm_ledger.simulator import RunningSimulator
from tests.support.crash_story import CALLED, KEY, LINES
from tests.support.invariants import History, check_all, i5_all_is_done
from tests.support.ledgers import dump
from tests.support.witness import SimulatorWitness

__all__ = ["acknowledged", "assert_over", "assert_rebuilt"]


class _Witness(SimulatorWitness):
    """The simulator, of which is known whom it was called for."""

    def calls(self) -> Mapping[str, tuple[int, int]]:
        calls = self._bill["tiers"].get("standard")
        return {CALLED: (calls["requests"], calls["total_pico_usd"] // calls["requests"])} if calls else {}


def acknowledged(ledger: Ledger) -> dict[int, UUID]:
    """The newest event, if there is one: its id by its position."""
    return {event.position: event.event_id for event in ledger.events(newest_first=True, limit=1)}


def assert_over(
    ledger: Ledger, simulator: RunningSimulator, acknowledged: Mapping[int, UUID], *, died_calling: bool
) -> None:
    """Every request has ended once and was paid once, to the last digit of the provider's bill.

    What nobody can know is whether a call was answered whose caller died.
    """
    assert outstanding(ledger).idle
    bill, log = simulator.bill(), simulator.log()
    history = History(ledger)
    check_all(ledger, _Witness(bill, log), acknowledged=acknowledged, secrets=[KEY])
    i5_all_is_done(history)
    usages = [event.data for event in history.events if isinstance(event.data, CacheUsageRecorded)]
    assert [data.role for data in usages].count("duplicate") == log["duplicated_params"]
    *others, called = [row.status for row in requests(ledger)]
    assert others == ["succeeded"] * (len(LINES) - 1)
    if called != "succeeded":
        assert died_calling
        assert called == "abandoned"
        return
    assert Decimal(savings(ledger, Period())["cost"]["actual"]) == Decimal(bill["total"])


def assert_rebuilt(ledger: Ledger) -> None:
    """Folding the log again makes the same of it."""
    before = dump(ledger.database)
    rebuild(ledger.database)
    assert dump(ledger.database) == before
