"""What the ledger answers about requests, batches and what was billed."""

from __future__ import annotations

from datetime import timedelta

import pytest

from ledger import Ledger
from ledger.errors import UnknownId
from ledger.events import batch_stream, request_stream
from ledger.pricing import PriceKey, Tokens
from ledger.queries import (
    active_batches,
    batch,
    batches,
    billed_items,
    count_requests,
    find_request,
    finished_since,
    outstanding,
    requests,
    stored_events,
)
from ledger.savings import Period
from ledger.summary import savings
from ledger.verify import verify
from tests.support.clock import NOON
from tests.support.history import History, usage
from tests.support.ledgers import bare_ledger, rows_of
from tests.support.prices import price_book


@pytest.fixture
def ten(ledger: Ledger, history: History) -> History:
    """Ten requests, every other one under another key; the first four in one batch, the next two in another."""
    for at in range(10):
        history.request(f"r{at}", key="even" if at % 2 == 0 else "odd")
    history.submitted(history.requests[:4])
    history.clock.advance(minutes=1)
    history.plan(history.requests[4:6])
    history.succeed(history.requests[0])
    history.fail(history.requests[1], retryable=False)
    history.expire(history.requests[2])
    ledger.append(history.take())
    return history


@pytest.fixture
def small_pages(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("ledger.queries.PAGE", 3)


# --- lists ---------------------------------------------------------------------------------------------------


@pytest.mark.usefixtures("ten", "small_pages")
def test_requests_come_in_the_order_they_were_recorded(ledger: Ledger) -> None:
    everything = list(requests(ledger))
    assert [row.custom_id for row in everything] == [f"r{at}" for at in range(10)]
    assert [row.custom_id for row in requests(ledger, newest_first=True)] == [f"r{at}" for at in range(9, -1, -1)]
    assert [row.custom_id for row in requests(ledger, limit=7)] == [f"r{at}" for at in range(7)]
    assert [row.custom_id for row in requests(ledger, limit=6)] == [f"r{at}" for at in range(6)]
    assert list(requests(ledger, limit=0)) == []
    fourth = everything[3].seq
    assert [row.custom_id for row in requests(ledger, after=fourth)] == [f"r{at}" for at in range(4, 10)]
    assert list(requests(ledger, after=everything[-1].seq)) == []


@pytest.mark.usefixtures("small_pages")
def test_requests_are_chosen_by_key_status_and_batch(ledger: Ledger, ten: History) -> None:
    def named(**choice: object) -> list[str]:
        found = [row.custom_id for row in requests(ledger, **choice)]  # type: ignore[arg-type]
        assert count_requests(ledger, **choice) == len(found)  # type: ignore[arg-type]
        return found

    assert named() == [f"r{at}" for at in range(10)]
    assert named(key="odd") == ["r1", "r3", "r5", "r7", "r9"]
    assert named(key="nobody's") == []
    assert named(statuses=["queued"]) == ["r6", "r7", "r8", "r9"]
    assert named(statuses=["succeeded", "errored"], key="odd") == ["r1"]
    assert named(statuses=[]) == []
    assert named(batch_id=ten.batches[1].id) == ["r4", "r5"]
    assert named(batch_id=ten.batches[0].id, statuses=["batched"]) == ["r3"]


@pytest.mark.usefixtures("small_pages")
def test_batches_come_in_the_order_they_were_planned(ledger: Ledger, history: History) -> None:
    for _ in range(7):
        history.plan([history.request()])
    ledger.append(history.take())
    expected = [planned.id for planned in history.batches]
    found = list(batches(ledger))
    assert [row.id for row in found] == expected
    assert [row.id for row in batches(ledger, newest_first=True)] == expected[::-1]
    assert [row.id for row in batches(ledger, limit=4)] == expected[:4]
    assert [row.id for row in batches(ledger, after=found[2].seq)] == expected[3:]


def test_active_batches_are_those_with_a_next_step_soonest_first(ledger: Ledger, history: History) -> None:
    for _ in range(2):
        history.clock.advance(minutes=1)
        history.plan([history.request()])
    done = history.submitted([history.request()])
    history.end(done)
    history.collected(done)
    ledger.append(history.take())
    assert batch(ledger, done.id).due_at is None
    assert [row.id for row in active_batches(ledger)] == [planned.id for planned in history.batches[:2]]


@pytest.mark.usefixtures("small_pages")
def test_stored_events_are_shown_as_they_were_written(ledger: Ledger, ten: History) -> None:
    shown = list(stored_events(ledger))
    recorded = list(ledger.events())
    assert [event.position for event in shown] == [event.position for event in recorded]
    for here, there in zip(shown, recorded, strict=True):
        assert (here.stream_id, here.version, here.type) == (there.stream_id, there.version, there.type)
        assert (here.event_id, here.occurred_at, here.recorded_at) == (
            there.event_id,
            there.occurred_at,
            there.recorded_at,
        )
        assert (here.correlation_id, here.causation_id) == (there.correlation_id, there.causation_id)
        assert (here.body_hash, here.hash) == (there.body_hash.hex(), there.hash.hex())
        assert bytes(here.data).startswith(b"{")
    stream = request_stream(ten.requests[0].id)
    assert [event.version for event in stored_events(ledger, stream=stream)] == [1, 2, 3, 4]
    assert [event.version for event in stored_events(ledger, stream=stream, newest_first=True, limit=2)] == [4, 3]


# --- one -----------------------------------------------------------------------------------------------------


def test_a_request_is_found_by_id_beginning_or_custom_id(ledger: Ledger, ten: History) -> None:
    wanted = ten.requests[3]
    assert find_request(ledger, wanted.id).custom_id == "r3"
    assert find_request(ledger, wanted.id[:-2]).custom_id == "r3"
    assert find_request(ledger, "r3").id == wanted.id
    assert find_request(ledger, "r3", key="odd").id == wanted.id


def test_a_custom_id_under_several_keys_needs_its_key(ledger: Ledger, history: History) -> None:
    one, other = history.request("same", key="a"), history.request("same", key="b")
    ledger.append(history.take())
    with pytest.raises(UnknownId, match="several keys hold a request of that custom_id; name one with --key"):
        find_request(ledger, "same")
    assert find_request(ledger, "same", key="a").id == one.id
    assert find_request(ledger, "same", key="b").id == other.id
    with pytest.raises(UnknownId):
        find_request(ledger, "same", key="c")


@pytest.mark.parametrize("wanted", ["", "r", "nothing", "019a", "0" * 36, "%", "\U0010ffff" * 6])
def test_what_names_nothing_is_unknown(ledger: Ledger, ten: History, wanted: str) -> None:
    with pytest.raises(UnknownId, match="nothing in this ledger has that id") as unknown:
        find_request(ledger, wanted)
    assert (unknown.value.wanted, unknown.value.several) == (wanted, False)
    with pytest.raises(UnknownId):
        batch(ledger, wanted)


def test_a_beginning_that_fits_several_is_refused(ledger: Ledger, ten: History) -> None:
    common = ten.requests[0].id[:8]
    with pytest.raises(UnknownId, match="several requests begin like that; give more of the id"):
        find_request(ledger, common)
    with pytest.raises(UnknownId, match="several batches begin like that") as unknown:
        batch(ledger, ten.batches[0].id[:6])
    assert unknown.value.several


def test_a_batch_is_found_by_our_id_and_the_providers(ledger: Ledger, ten: History) -> None:
    wanted = ten.batches[0]
    for name in (wanted.id, wanted.id[:-1], f"msgbatch_{wanted.id}"):
        assert batch(ledger, name).id == wanted.id


# --- what was billed -----------------------------------------------------------------------------------------


def test_billed_items_come_in_order_with_the_prices_in_force(ledger: Ledger, history: History) -> None:
    one, two, three = history.request(), history.request(model="claude-opus-99"), history.request()
    history.submitted([one, two, three])
    created = history.clock.now()
    history.clock.advance(hours=1)
    history.succeed(one, usage(10, 5, write_5m=3, write_1h=2, read=1, server_tool_use={"web_search_requests": 4}))
    history.succeed(one, usage(7))
    history.succeed(two, usage(20))
    ledger.append(history.take())
    found = billed_items(ledger, [one.id, two.id, three.id])
    assert set(found) == {one.id, two.id}
    first, duplicate = found[one.id]
    assert (first.role, first.tokens) == ("result", Tokens(10, 3, 2, 1, 5, 4))
    assert (first.key, first.billed_at) == (PriceKey("anthropic", "claude-haiku-4-5", "batch"), created)
    assert first.book is not None
    assert first.book.rates(first.key, first.epoch).input == 500_000
    assert (duplicate.role, duplicate.tokens) == ("duplicate", Tokens(7))
    (unpriced,) = found[two.id]
    assert (unpriced.key.model, unpriced.epoch) == ("claude-opus-99", None)
    assert billed_items(ledger, []) == {}


def test_without_a_book_nothing_is_priced() -> None:
    with bare_ledger() as ledger:
        history = History()
        request = history.request(mode="standard", model="model-a")
        history.succeed(request)
        ledger.append(history.take())
        (item,) = billed_items(ledger, [request.id])[request.id]
        assert (item.epoch, item.book) == (None, None)
        history.adopt(price_book({"model-a": "2"}))
        ledger.append(history.take())
        (item,) = billed_items(ledger, [request.id])[request.id]
        assert item.epoch is not None


# --- what is left --------------------------------------------------------------------------------------------


def test_outstanding_counts_what_is_not_over(ledger: Ledger, history: History) -> None:
    assert outstanding(ledger).idle
    one, two, three = (history.request() for _ in range(3))
    ledger.append(history.take())
    assert (outstanding(ledger).requests, outstanding(ledger).batches) == (3, 0)
    planned = history.submitted([one, two, three])
    history.expire(one)
    history.fail(two)
    ledger.append(history.take())
    assert (outstanding(ledger).requests, outstanding(ledger).batches) == (3, 1)
    assert not outstanding(ledger).idle
    history.abandon(one)
    history.abandon(two)
    history.succeed(three)
    ledger.append(history.take())
    assert (outstanding(ledger).requests, outstanding(ledger).batches) == (0, 1)
    history.end(planned)
    history.collected(planned)
    ledger.append(history.take())
    assert outstanding(ledger).idle


def test_what_finished_since_an_instant(ledger: Ledger, ten: History) -> None:
    then = NOON + timedelta(minutes=1)
    assert finished_since(ledger, then) == {"succeeded": 1, "errored": 1}
    assert finished_since(ledger, then + timedelta(microseconds=1)) == {}


# --- what the rows say ---------------------------------------------------------------------------------------


def test_a_request_through_its_life(ledger: Ledger, history: History) -> None:
    request = history.request("a", tags={"z": "1", "a": "ä"})

    def now() -> tuple[object, ...]:
        ledger.append(history.take())
        row = find_request(ledger, request.id)
        return (row.status, row.attempts, row.batch_id, row.batch_index, row.error_type)

    assert now() == ("queued", 0, None, None, None)
    first = history.submitted([history.request("other"), request])
    assert now() == ("batched", 1, first.id, 1, None)
    history.fail(request)
    assert now() == ("failed", 1, first.id, 1, "overloaded_error")
    history.retry(request, delay=90)
    assert now()[0] == "queued"
    assert find_request(ledger, request.id).due_at is not None
    second = history.submitted([request])
    assert now() == ("batched", 2, second.id, 0, "overloaded_error")
    assert find_request(ledger, request.id).due_at is None
    history.expire(request)
    assert now() == ("expired", 2, second.id, 0, "expired")
    history.retry(request)
    third = history.submitted([request])
    history.succeed(request, model="claude-haiku-4-5-20251001")
    assert now() == ("succeeded", 3, third.id, 0, None)
    row = find_request(ledger, request.id)
    assert (row.response_model, row.model, row.tags) == (
        "claude-haiku-4-5-20251001",
        "claude-haiku-4-5",
        '{"a":"ä","z":"1"}',
    )
    assert row.version == sum(1 for _ in ledger.events(stream=request_stream(request.id)))


def test_the_first_terminal_outcome_wins(ledger: Ledger, history: History) -> None:
    endings = {
        "succeeded": history.succeed,
        "errored": lambda request: history.fail(request, retryable=False),
        "canceled": history.cancel,
        "abandoned": history.abandon,
    }
    for status, end in endings.items():
        request = history.request(status)
        history.submitted([request])
        end(request)
        ledger.append(history.take())
        before = find_request(ledger, request.id)
        assert before.status == status
        history.clock.advance(hours=1)
        for late in (history.succeed, history.fail, history.expire, history.cancel, history.abandon):
            request.state = "batched"
            late(request)
        ledger.append(history.take())
        after = find_request(ledger, request.id)
        assert (after.status, after.finished_at, after.error_type) == (status, before.finished_at, before.error_type)


def test_an_outcome_from_a_batch_it_has_left_changes_nothing(ledger: Ledger, history: History) -> None:
    request = history.request()
    first = history.submitted([request])
    history.expire(request)
    history.retry(request)
    second = history.submitted([request])
    for late in (history.fail, history.expire, history.cancel):
        request.batch = first
        late(request)
        request.batch, request.state = second, "batched"
        ledger.append(history.take())
        assert find_request(ledger, request.id).status == "batched"
    history.succeed(request)
    ledger.append(history.take())
    assert find_request(ledger, request.id).status == "succeeded"


def test_a_batch_through_its_life(ledger: Ledger, history: History) -> None:
    planned = history.plan([history.request(), history.request()])
    seen = []

    def now() -> str:
        ledger.append(history.take())
        row = batch(ledger, planned.id)
        seen.append(row)
        return row.status

    assert now() == "planned"
    for step, status in (
        (history.start, "submitting"),
        (history.refuse, "planned"),
        (history.start, "submitting"),
        (history.doubt, "uncertain"),
        (history.release, "planned"),
        (history.start, "submitting"),
        (history.accept, "in_progress"),
        (history.poll, "in_progress"),
        (history.twin, "in_progress"),
        (history.ask_to_cancel, "canceling"),
        (history.end, "ended"),
        (history.collected, "collected"),
    ):
        history.clock.advance(10)
        step(planned)
        assert now() == status
        assert (seen[-1].due_at is None) == (status == "collected")
    last = seen[-1]
    assert (last.submissions, last.polls, last.request_count, last.settled) == (3, 1, 2, 0)
    assert last.nonce == planned.nonce
    assert last.nonces.count(",") == 2
    assert last.version == sum(1 for _ in ledger.events(stream=batch_stream(planned.id)))
    assert seen[1].note is None
    assert seen[2].note == "429"
    twin = next(row for row in batches(ledger) if row.twin_of == planned.id)
    assert seen[9].note == f"the provider also holds {twin.provider_batch_id}"
    assert (twin.status, twin.request_count, twin.due_at is not None) == ("in_progress", 2, True)
    assert [row.reserved for row in seen] == [
        None, 10_000_000, None, 10_000_000, 10_000_000, None, *[10_000_000] * 6, None,
    ]  # fmt: skip


def test_a_request_opened_again_by_hand_ends_once_more(ledger: Ledger, history: History) -> None:
    request = history.submitted([history.request(tags={"team": "docs"})]).requests[0]
    history.fail(request, retryable=False)
    ledger.append(history.take())
    assert outcomes(ledger) == {"total": 1, "succeeded": 0, "failed": 1}
    history.reopen(request)
    ledger.append(history.take())
    row = find_request(ledger, request.id)
    assert (row.status, row.attempts, row.error_type, row.result, row.finished_at) == ("queued", 0, None, None, None)
    assert outcomes(ledger) == {"total": 0, "succeeded": 0, "failed": 0}
    history.succeed(history.submitted([request]).requests[0])
    history.reopen(request)  # it has its answer: nothing is opened
    ledger.append(history.take())
    assert find_request(ledger, request.id).status == "succeeded"
    assert outcomes(ledger) == {"total": 1, "succeeded": 1, "failed": 0}
    assert verify(ledger.database).problems == ()


def outcomes(ledger: Ledger) -> dict[str, int]:
    figures = savings(ledger, Period())["requests"]
    return {name: figures[name] for name in ("total", "succeeded", "failed")}


def test_an_outcome_of_a_call_is_taken_back_where_it_was_counted(ledger: Ledger, history: History) -> None:
    request = history.submitted([history.request()]).requests[0]
    history.fail(request)
    history.clock.advance(hours=2)
    history.call(request)
    history.fail(request, retryable=False)
    history.clock.advance(hours=2)
    history.reopen(request)
    ledger.append(history.take())
    assert {row["failed"] for row in rows_of(ledger.database, "outcome_rollups")} == {0}


def test_a_request_waits_for_a_call_and_is_outstanding_until_it_ends(ledger: Ledger, history: History) -> None:
    request = history.submitted([history.request()]).requests[0]
    history.fail(request)
    history.call(request)
    *events, called = history.take()
    ledger.append(events)
    assert (find_request(ledger, request.id).status, outstanding(ledger).requests) == ("fallback", 1)
    ledger.append([called])
    row = find_request(ledger, request.id)
    assert (row.status, row.attempts, outstanding(ledger).requests) == ("calling", 2, 1)
    history.succeed(request)
    ledger.append(history.take())
    assert (find_request(ledger, request.id).status, outstanding(ledger).requests) == ("succeeded", 0)


def test_a_batch_that_the_provider_is_canceling(ledger: Ledger, history: History) -> None:
    one = history.submitted([history.request()])
    history.poll(one, state="canceling")
    other = history.plan([history.request()])
    history.start(other)
    history.fail_batch(other)
    ledger.append(history.take())
    assert batch(ledger, one.id).status == "canceling"
    row = batch(ledger, other.id)
    assert (row.status, row.due_at, row.note) == ("failed", None, "split")


def test_settled_counts_the_items_checked_off(ledger: Ledger, history: History) -> None:
    items = [history.request() for _ in range(4)]
    planned = history.submitted(items)
    history.succeed(items[0])
    history.fail(items[1])
    history.expire(items[2])
    ledger.append(history.take())
    assert batch(ledger, planned.id).settled == 3
    history.cancel(items[3])
    ledger.append(history.take())
    assert batch(ledger, planned.id).settled == 4
