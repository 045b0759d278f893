"""The year of traffic: as many events as promised, in any portions, and all of them acceptable."""

from __future__ import annotations

import pytest

from bench.workload import appends, events_in, regrouped, singles
from ledger import Ledger


@pytest.mark.parametrize("asked", [1, 12, 500, 12_003, 12_004])
def test_there_are_as_many_events_as_promised(asked: int) -> None:
    assert asked <= sum(len(events) for events in appends(asked)) == events_in(asked)


def test_portions_change_nothing_but_themselves() -> None:
    lists = list(regrouped(appends(100), 7))

    assert {len(events) for events in lists[:-1]} == {7}
    flat = [event for events in lists for event in events]
    assert flat == [event for events in appends(100) for event in events]


def test_a_ledger_takes_it_and_ends_every_request(ledger: Ledger) -> None:
    from ledger.queries import count_requests, outstanding

    for events in regrouped(appends(100), 30):
        ledger.append(events)
    ledger.append(singles(3))

    assert count_requests(ledger, statuses=["succeeded"]) == count_requests(ledger) - 3
    assert outstanding(ledger).idle
