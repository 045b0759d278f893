"""What has been spent so far, to the last digit, by UTC day and in total."""

from __future__ import annotations

from datetime import datetime, timedelta

from ledger import Ledger
from ledger.pricing import usd_text
from ledger.savings import Period
from ledger.spending import spent
from ledger.summary import savings
from tests.support.clock import NOON
from tests.support.history import History, usage
from tests.support.mixed import mixed_history

MIDNIGHT = NOON.replace(hour=0, minute=0, second=0, microsecond=0)


def figures(ledger: Ledger, *since: datetime | None) -> list[int]:
    with ledger.read() as connection:
        return [spent(connection, instant) for instant in since]


def call(history: History, model: str = "claude-haiku-4-5", tokens: int = 1_000) -> None:
    history.succeed(history.request(mode="standard", model=model), usage(tokens, 0))


def test_nothing_yet(ledger: Ledger) -> None:
    assert figures(ledger, None, MIDNIGHT) == [0, 0]


def test_a_day_begins_at_midnight_and_ends_with_all_that_follow(ledger: Ledger, history: History) -> None:
    for hours in (11.5, 1, 24):
        call(history)
        history.clock.advance(hours=hours)
    ledger.append(history.take())
    one, day = 1_000 * 1_000_000, timedelta(days=1)
    assert figures(ledger, None, MIDNIGHT, MIDNIGHT + day, MIDNIGHT + 2 * day) == [3 * one, 3 * one, one, 0]


def test_what_was_paid_twice_counts_and_what_has_no_price_does_not(ledger: Ledger, history: History) -> None:
    call(history, "claude-of-tomorrow")
    request = history.request()
    history.submitted([request])
    history.used(request, usage(10, 0), role="duplicate")
    ledger.append(history.take())
    assert figures(ledger, None, MIDNIGHT) == [10 * 500_000] * 2


def test_it_is_what_the_report_says(ledger: Ledger, history: History) -> None:
    ledger.append(mixed_history(history).take())
    (total,) = figures(ledger, None)
    assert usd_text(total) == savings(ledger, Period())["cost"]["actual"] != "0"
    for days in (0, 1):
        since = MIDNIGHT + timedelta(days=days)
        assert usd_text(*figures(ledger, since)) == savings(ledger, Period(since))["cost"]["actual"]
