"""A tag keeps a thousand values apart; what comes after counts as "(other)"."""

from __future__ import annotations

import pytest

from ledger import Ledger
from ledger.projections import OTHER
from ledger.savings import Period
from ledger.summary import savings
from ledger.verify import verify
from tests.support.history import History
from tests.support.sums import added

MOST = 1000


def groups(ledger: Ledger, tag: str = "user") -> dict[str, int]:
    """Group → requests that succeeded."""
    report = savings(ledger, Period(), f"tag:{tag}")
    assert added(report["groups"]) == added([report])
    return {group["name"]: group["requests"]["succeeded"] for group in report["groups"]}


def call(history: History, user: str) -> None:
    history.succeed(history.request(mode="standard", tags={"user": user, "team": "docs"}))


@pytest.mark.parametrize("piece", [97, 5000])
def test_the_first_thousand_values_are_kept(ledger: Ledger, history: History, piece: int) -> None:
    for at in range(MOST + 50):
        call(history, f"u{at}")
    for at in (0, MOST - 1, MOST, MOST + 10):
        call(history, f"u{at}")
    events = history.take()
    for start in range(0, len(events), piece):
        ledger.append(events[start : start + piece])
    found = groups(ledger)
    assert len(found) == MOST + 2
    assert (found["u0"], found[f"u{MOST - 1}"], found["u1"]) == (2, 2, 1)
    assert found[OTHER] == 52
    assert f"u{MOST}" not in found
    assert found["(none)"] == 0
    assert groups(ledger, "team") == {"docs": MOST + 54, "(none)": 0}
    assert verify(ledger.database).sound


def test_a_value_that_is_called_other_counts_there(ledger: Ledger, history: History) -> None:
    call(history, OTHER)
    for at in range(MOST + 5):
        call(history, f"u{at}")
    ledger.append(history.take())
    assert groups(ledger)[OTHER] == 1 + 6


def test_values_of_other_tags_do_not_count(ledger: Ledger, history: History) -> None:
    for at in range(MOST):
        history.succeed(history.request(mode="standard", tags={f"tag{at % 8}": f"v{at}"}))
    call(history, "u")
    ledger.append(history.take())
    assert groups(ledger)["u"] == 1
    assert OTHER not in groups(ledger, "tag0")
