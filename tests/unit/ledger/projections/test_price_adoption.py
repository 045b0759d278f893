"""A new price book: what it prices otherwise moves, to what a ledger that had it from the start would say."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from datetime import timedelta
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ledger import Ledger, NewEvent
from ledger.prices import adopt_packaged_prices, adopt_prices
from ledger.pricing import PriceBook
from ledger.projections import stored_book
from ledger.queries import billed_items, requests
from ledger.savings import Period
from ledger.summary import savings
from ledger.verify import verify
from tests.support.history import History, prefix, usage
from tests.support.ledgers import bare_ledger
from tests.support.prices import price_book
from tests.support.random_history import BOOKS, Step, play, steps

CHEAP = price_book({"model-a": "2"})
DEAR = price_book({"model-a": "4"})


@pytest.fixture
def bare() -> Iterator[Ledger]:
    with bare_ledger() as ledger:
        yield ledger


@pytest.fixture
def past(bare: Ledger) -> History:
    return History(bare.clock, bare.ids)  # type: ignore[arg-type]


def call(ledger: Ledger, history: History, model: str = "model-a", raw: bytes = usage(1_000_000)) -> None:
    history.succeed(history.request(mode="standard", model=model), raw)
    ledger.append(history.take())


def bill(ledger: Ledger, **period: Any) -> tuple[str, int]:
    """(dollars, unpriced requests)"""
    report = savings(ledger, Period(**period))
    return report["cost"]["actual"], report["requests"]["unpriced"]


# --- which book is in force ----------------------------------------------------------------------------------


def test_a_book_is_adopted_once(bare: Ledger) -> None:
    assert adopt_prices(bare, CHEAP)
    assert not adopt_prices(bare, CHEAP)
    assert adopt_prices(bare, DEAR)
    assert not adopt_prices(bare, CHEAP), "two releases would take turns for ever"
    assert [event.version for event in bare.events(stream="prices/anthropic")] == [1, 2]
    with bare.read() as connection:
        assert stored_book(connection, "anthropic") == DEAR
        assert stored_book(connection, "anthropic", as_of=1) == CHEAP
        assert stored_book(connection, "anthropic", as_of=0) is None


def test_the_packaged_book_is_adopted_once(bare: Ledger) -> None:
    assert adopt_packaged_prices(bare)
    assert not adopt_packaged_prices(bare)
    assert bare.head().position == 1


@pytest.mark.parametrize(("theirs", "adopted"), [(DEAR, True), (CHEAP, False)], ids=["another book", "the same book"])
def test_if_another_process_adopts_at_the_same_moment_we_look_again(
    bare: Ledger, past: History, monkeypatch: pytest.MonkeyPatch, theirs: PriceBook, adopted: bool
) -> None:
    append = bare.append

    def they_were_first(events: Sequence[NewEvent]) -> list[int]:
        monkeypatch.undo()
        past.adopt(theirs)
        append(past.take())
        return append(events)

    monkeypatch.setattr(bare, "append", they_were_first)
    assert adopt_prices(bare, CHEAP) is adopted
    assert [event.version for event in bare.events(stream="prices/anthropic")] == ([1, 2] if adopted else [1])
    with bare.read() as connection:
        assert stored_book(connection, "anthropic") == CHEAP


# --- what moves ----------------------------------------------------------------------------------------------


def test_usage_without_a_book_waits_for_one(bare: Ledger, past: History) -> None:
    call(bare, past)
    assert bill(bare) == ("0", 1)
    adopt_prices(bare, CHEAP)
    assert bill(bare) == ("2", 0)


def test_other_rates_reprice_the_past(bare: Ledger, past: History) -> None:
    adopt_prices(bare, CHEAP)
    call(bare, past)
    adopt_prices(bare, DEAR)
    assert bill(bare) == ("4", 0)
    call(bare, past)
    assert bill(bare) == ("8", 0)


def test_a_price_that_changes_in_time_moves_what_came_after(bare: Ledger, past: History) -> None:
    adopt_prices(bare, CHEAP)
    began = bare.clock.now()
    for _ in range(3):
        call(bare, past)
        past.clock.advance(minutes=15)
    changed = (began + timedelta(minutes=15)).isoformat()
    adopt_prices(bare, price_book({"model-a": [("2024-01-01T00:00:00Z", "2"), (changed, "10")]}))
    assert bill(bare) == ("22", 0)
    assert bill(bare, until=began + timedelta(minutes=15)) == ("2", 0)
    assert bill(bare, since=began + timedelta(minutes=15)) == ("20", 0)
    adopt_prices(bare, DEAR)
    assert bill(bare) == ("12", 0)


def test_prices_that_change_in_every_quarter_of_an_hour(bare: Ledger, past: History) -> None:
    adopt_prices(bare, CHEAP)
    prices = []
    for price in ("1", "10", "100", "1000"):
        prices.append((bare.clock.now().isoformat(), price))
        call(bare, past)
        past.clock.advance(minutes=15)
    adopt_prices(bare, price_book({"model-a": prices}))
    assert bill(bare) == ("1111", 0)
    adopt_prices(bare, DEAR)
    assert bill(bare) == ("16", 0)


def test_a_model_that_a_book_no_longer_knows_is_unpriced_again(bare: Ledger, past: History) -> None:
    adopt_prices(bare, CHEAP)
    call(bare, past)
    adopt_prices(bare, price_book({"model-b": "1"}))
    assert bill(bare) == ("0", 1)
    assert savings(bare, Period())["tokens"]["uncached_input"] == 1_000_000


def test_a_part_that_gets_its_price_later(bare: Ledger, past: History) -> None:
    advice = [{"type": "advisor_message", "model": "model-b", "input_tokens": 1_000_000}]
    call(bare, past, raw=usage(1_000_000, iterations=advice))
    assert bill(bare) == ("0", 2), "two models, and neither has a price"
    adopt_prices(bare, CHEAP)
    assert bill(bare) == ("2", 1)
    adopt_prices(bare, price_book({"model-b": "3"}))
    assert bill(bare) == ("3", 1)
    adopt_prices(bare, price_book({"model-a": "2", "model-b": "3"}))
    assert bill(bare) == ("5", 0)


def test_unread_writes_are_repriced_too(bare: Ledger, past: History) -> None:
    adopt_prices(bare, CHEAP)
    request = past.request(mode="standard", model="model-a", prefix=prefix("system"))
    past.succeed(request, usage(write_5m=1_000_000))
    bare.append(past.take())
    assert savings(bare, Period())["waste"]["unread_writes"] == "0.5"
    began = past.clock.now()
    adopt_prices(bare, price_book({"model-a": [(began.isoformat(), "8")]}))
    assert savings(bare, Period())["waste"]["unread_writes"] == "2"
    past.clock.advance(hours=1)
    reader = past.request(mode="standard", model="model-a", prefix=prefix("system"))
    past.succeed(reader, usage(read=1_000_000))
    bare.append(past.take())
    assert savings(bare, Period())["waste"]["unread_writes"] == "0"
    assert verify(bare.database).sound


def test_another_providers_book_moves_nothing(bare: Ledger, past: History) -> None:
    adopt_prices(bare, CHEAP)
    call(bare, past)
    past.starts_after("prices/other", 0)
    adopted = next(bare.events(stream="prices/anthropic")).data
    past.add("prices/other", adopted)
    bare.append(past.take())
    assert bill(bare) == ("2", 0)
    with bare.read() as connection:
        assert stored_book(connection, "other") == CHEAP


# --- as if it had always been there --------------------------------------------------------------------------


def answers(ledger: Ledger) -> Any:
    """Everything that a price book decides."""
    reports = [savings(ledger, Period(), by) for by in ("day", "model", "tag:team", "tag:env")]
    kathmandu = savings(ledger, Period(timezone="Asia/Kathmandu"), "day")
    items = billed_items(ledger, [row.id for row in requests(ledger)])
    return [*reports, kathmandu], items


@settings(max_examples=15)
@given(steps(), st.lists(st.sampled_from(BOOKS), max_size=2), st.sampled_from(BOOKS))
def test_a_book_that_came_late_leaves_what_it_would_have_made(
    script: list[Step], before: list[PriceBook], book: PriceBook
) -> None:
    events = [event for event in play(script) if not event.stream_id.startswith("prices/")]
    with bare_ledger() as late, bare_ledger() as early:
        half = len(events) // 2
        for other in before:
            adopt_prices(late, other)
        late.append(events[:half])
        adopt_prices(late, price_book({"model-never": "1", "model-a": [("2026-10-25T03:00:00Z", "7")]}))
        late.append(events[half:])
        past = History(late.clock, late.ids)  # type: ignore[arg-type]
        past.starts_after("prices/anthropic", sum(1 for _ in late.events(stream="prices/anthropic")))
        past.adopt(book)
        late.append(past.take())
        adopt_prices(early, book)
        early.append(events)
        assert answers(late) == answers(early)
        assert verify(late.database).sound
