"""Results arrive: every item is checked off once, whatever the file looks like and however often it is read."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable
from typing import Any

import msgspec
import pytest

from ledger.errors import ProviderRefused, ProviderUnreachable
from ledger.events import (
    BatchCounts,
    BatchPolled,
    BatchResultsCollected,
    CacheUsageRecorded,
    NewEvent,
    RequestCanceled,
    RequestCostUnknown,
    RequestExpired,
    RequestFailed,
    RequestSucceeded,
    request_stream,
)
from ledger.queries import batch as read_batch
from ledger.verify import verify
from scheduler.collect import collect
from scheduler.leases import Lease, LeaseLost, Leases
from scheduler.providers.base import ItemResult, ResultsUnavailable
from tests.support.fake_provider import MODEL, OTHERS, OURS, Fate, Turn, usage_of
from tests.support.interrupted import Interrupted
from tests.support.world import World

Lines = Iterable[ItemResult | Exception]
Mangle = Callable[[list[ItemResult]], Lines]


def ended(world: World, many: int, *fates: Fate) -> list[bytes]:
    """A batch whose results wait to be fetched; the fates are those of its first items."""
    bodies = world.send(many)
    for body, fate in zip(bodies, fates, strict=False):
        world.provider.fates[body].append(fate)
    world.clock.advance(11)
    assert world.worker.advance()
    assert world.batch().status == "ended"
    return bodies


def lease_on(world: World) -> Lease:
    lease = Leases(world.ledger, "collector", 15.0).acquire(world.batch().id)
    assert lease is not None
    return lease


def test_each_success_is_recorded_with_its_body_and_its_usage(world: World) -> None:
    bodies = ended(world, 3)
    assert world.worker.advance()
    for row, body in zip(world.requests(), bodies, strict=True):
        assert (row.status, row.response_model, row.batch_index) == ("succeeded", MODEL, bodies.index(body))
        assert row.result is not None
        answer = json.loads(world.ledger.payload(row.result))
        assert json.loads(answer["message"]["usage"]) == usage_of(body)
    usage = world.recorded(CacheUsageRecorded)
    assert {(data.role, data.processing, data.provider) for data in usage} == {("result", "batch", "anthropic")}
    assert {data.billed_at for data in usage} == {world.provider.batches[0].created_at}
    assert [data.stop_reason for data in world.recorded(RequestSucceeded)] == ["end_turn"] * 3
    assert world.recorded(BatchResultsCollected) == [BatchResultsCollected(lines=3, counts=BatchCounts(succeeded=3))]
    assert world.batch().note is None
    assert (world.batch().status, world.batch().settled) == ("collected", 3)
    world.check()


def test_every_kind_of_outcome(world: World) -> None:
    ended(world, 4, "invalid", "overloaded", "expired", "canceled")
    assert world.worker.advance()
    assert world.statuses() == ["errored", "failed", "expired", "canceled"]
    invalid, overloaded = sorted(world.recorded(RequestFailed), key=lambda data: data.error_type)
    assert (invalid.error_type, invalid.retryable) == ("invalid_request_error", False)
    assert (overloaded.error_type, overloaded.retryable) == ("overloaded_error", True)
    row = world.requests()[0]
    assert row.result is not None
    assert json.loads(world.ledger.payload(row.result))["type"] == "errored"
    assert [data.batch_index for data in world.recorded(RequestExpired)] == [2]
    assert [data.batch_index for data in world.recorded(RequestCanceled)] == [3]
    assert world.recorded(CacheUsageRecorded) == []
    assert world.batch().settled == 4
    world.check()


def test_an_error_without_a_type_or_a_success_without_a_model(world: World) -> None:
    def bare(lines: list[ItemResult]) -> Lines:
        first, second = sorted(lines, key=lambda line: line.custom_id)
        yield ItemResult(custom_id=first.custom_id, kind="errored", body=b"{}")
        yield ItemResult(custom_id=second.custom_id, kind="succeeded", body=b"{}", usage=b"{}")

    ended(world, 2)
    world.provider.plan("results", Turn(mangle=bare))
    assert world.worker.advance()
    first, second = world.requests()
    assert (first.status, first.error_type, first.error_message) == ("errored", "unknown", "")
    assert (second.status, second.response_model) == ("succeeded", MODEL)


@pytest.mark.parametrize(
    ("fate", "reason"),
    [
        ("no_usage", "the result carries no usage"),
        ("odd_usage", "'many' is no count"),
        ("torn_usage", "its usage cannot be read"),
    ],
)
def test_what_cannot_be_priced_is_recorded_as_that(world: World, fate: Fate, reason: str) -> None:
    ended(world, 2, fate)
    world.run()
    assert world.statuses() == ["succeeded"] * 2
    (unknown,) = world.recorded(RequestCostUnknown)
    assert reason in unknown.reason
    assert len(world.recorded(CacheUsageRecorded)) == 1
    world.check()


def test_a_model_without_a_price_costs_nothing_that_is_known(world: World) -> None:
    ended(world, 1, "other_model")
    world.run()
    (row,) = world.requests()
    assert (row.status, row.response_model) == ("succeeded", "claude-of-tomorrow")
    world.check()


@pytest.mark.parametrize("kept", [0, 1, 10, 19])
def test_a_file_that_ends_early_is_read_again(new_world: Callable[..., World], kept: int) -> None:
    world = new_world(max_requests=20)
    ended(world, 20)
    world.provider.plan("results", Turn(mangle=lambda lines: lines[:kept]))
    assert world.worker.advance()
    assert world.statuses().count("succeeded") == kept
    assert world.batch().status == "ended"
    assert (world.batch().note or "").startswith(f"the results file ended early: {20 - kept} items are missing (")
    world.run()
    assert len(world.recorded(RequestSucceeded)) == len(world.recorded(CacheUsageRecorded)) == 20
    assert world.batch().settled == 20
    assert world.recorded(BatchResultsCollected) == [
        BatchResultsCollected(lines=20, counts=BatchCounts(succeeded=20))
    ]


def test_a_file_may_end_early_at_every_line_in_turn(new_world: Callable[..., World]) -> None:
    world = new_world(max_requests=20)
    ended(world, 20)
    world.provider.plan("results", *[Turn(mangle=lambda lines, kept=kept: lines[:kept]) for kept in range(20)])  # type: ignore[misc]
    world.run()
    assert world.batch().settled == len(world.recorded(RequestSucceeded)) == 20
    world.check()


@pytest.mark.parametrize("read", [0, 1, 19, 20])
def test_a_file_that_breaks_off_is_read_again(new_world: Callable[..., World], read: int) -> None:
    world = new_world(max_requests=20)
    ended(world, 20)
    broken = ResultsUnavailable("the connection broke off")
    world.provider.plan("results", Turn(mangle=lambda lines: [*lines[:read], broken]), Turn(refuse=broken))
    assert world.worker.advance()
    # What came before it broke off is kept.
    assert world.statuses().count("succeeded") == read
    assert world.batch().note == "the connection broke off"
    assert world.worker.health.error is None
    world.run()
    assert len(world.recorded(RequestSucceeded)) == 20
    assert world.batch().settled == 20
    world.check()


@pytest.mark.parametrize(
    "error",
    [ProviderUnreachable("no connection"), ProviderRefused("403", status=403, kind="permission_error")],
)
def test_a_provider_that_fails_in_the_middle_is_asked_again(world: World, error: Exception) -> None:
    ended(world, 4)
    world.provider.plan("results", Turn(mangle=lambda lines: [*lines[:2], error]))
    assert world.worker.advance()
    assert world.worker.health.error is error
    assert world.batch().note == str(error)
    world.run()
    assert world.statuses() == ["succeeded"] * 4
    world.check()


def test_results_that_are_not_there_yet_are_asked_for_again_later_each_time(world: World) -> None:
    world.provider.results_after = 60.0
    ended(world, 2)
    world.run()
    waits = [data for data in world.recorded(BatchPolled) if data.problem == "the results are not there yet"]
    assert 5 <= len(waits) <= 20
    assert world.statuses() == ["succeeded"] * 2


def strange(lines: list[ItemResult]) -> Lines:
    """Lines of others, ids of another intent, ids beyond the batch, and every line twice."""
    nonce = lines[0].custom_id.rpartition("-")[0]
    for custom_id in ("theirs", "ffff-0", f"{nonce}-4", f"{nonce}-04", ""):
        yield ItemResult(custom_id=custom_id, kind="succeeded", body=b"{}", usage=b'{"output_tokens":99}')
    yield from lines
    yield from reversed(lines)
    yield lines[0]


def test_lines_of_others_and_repeated_lines_are_counted_and_otherwise_ignored(world: World) -> None:
    ended(world, 4)
    world.provider.plan("results", Turn(mangle=strange))
    world.run()
    assert world.recorded(BatchResultsCollected) == [
        BatchResultsCollected(lines=14, foreign=5, repeated=5, counts=BatchCounts(succeeded=4))
    ]
    assert world.batch().note == "5 lines are not of this batch; 5 lines stand there again"
    assert world.statuses() == ["succeeded"] * 4
    assert len(world.recorded(CacheUsageRecorded)) == 4
    world.check()


def test_a_repeated_line_in_a_later_page_is_a_repeated_line_too(new_world: Callable[..., World]) -> None:
    world = new_world(max_requests=510)
    ended(world, 510)
    world.provider.plan("results", Turn(mangle=lambda lines: [*lines, *lines]))
    world.run()
    assert world.recorded(BatchResultsCollected) == [
        BatchResultsCollected(lines=1_020, repeated=510, counts=BatchCounts(succeeded=510))
    ]
    world.check()


def test_a_repeated_line_that_says_otherwise_changes_nothing(world: World) -> None:
    def contradict(lines: list[ItemResult]) -> Lines:
        yield from lines
        yield ItemResult(custom_id=lines[0].custom_id, kind="expired", body=b"{}")

    ended(world, 2)
    world.provider.plan("results", Turn(mangle=contradict))
    world.run()
    assert world.statuses() == ["succeeded"] * 2
    world.check()


def test_large_bodies_are_settled_a_few_at_a_time(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    settled: list[int] = []

    def watched(lines: list[ItemResult]) -> Lines:
        for line in lines:
            settled.append(world.statuses().count("succeeded"))
            yield msgspec.structs.replace(line, body=b"x" * 400)

    monkeypatch.setattr("scheduler.pages.PAGE_BYTES", 1_000)
    ended(world, 4)
    world.provider.plan("results", Turn(mangle=watched))
    assert world.worker.advance()
    assert settled == [0, 0, 0, 3]
    assert world.batch().status == "collected"


def cancel_by_hand(world: World, number: int) -> None:
    row = world.requests()[number]
    event = NewEvent(
        request_stream(row.id), row.version + 1, RequestCanceled(), world.ledger.ids.new(), world.clock.now()
    )
    world.ledger.append([event])


def test_an_answer_to_a_request_that_ended_otherwise_is_paid_for_as_a_duplicate(world: World) -> None:
    ended(world, 3)
    cancel_by_hand(world, 1)
    world.run()
    assert world.statuses() == ["succeeded", "canceled", "succeeded"]
    roles = sorted(data.role for data in world.recorded(CacheUsageRecorded))
    assert roles == ["duplicate", "result", "result"]
    assert world.batch().status == "collected"
    world.check()


@pytest.mark.parametrize("fate", ["no_usage", "overloaded", "invalid", "expired", "canceled"])
def test_whatever_comes_for_a_request_that_ended_otherwise_the_batch_is_done(world: World, fate: Fate) -> None:
    ended(world, 2, fate)
    cancel_by_hand(world, 0)
    # The first reading breaks off behind the page, so that everything is read twice.
    broken = ResultsUnavailable("broken")
    world.provider.plan("results", Turn(mangle=lambda lines: [*lines, *[lines[0]] * 498, broken]))
    world.run()
    assert world.statuses() == ["canceled", "succeeded"]
    assert world.batch().status == "collected"
    assert len(world.recorded(RequestCostUnknown)) == (fate == "no_usage")
    assert world.batch().settled == 2
    assert verify(world.ledger.database).problems == ()
    world.check()


def test_two_collectors_at_once_record_each_item_once(world: World) -> None:
    ended(world, 4, "overloaded", "invalid")
    other = lease_on(world)

    def collect_too() -> None:
        # Somebody whose lease has ended, and who does not know it yet, was quicker with a part of the file.
        world.provider.plan("results", Turn(mangle=lambda lines: lines[:2]))
        other.guard = lambda connection: None  # type: ignore[method-assign]
        collect(world.context(), world.batch(), other)

    world.clock.advance(16)
    lease = lease_on(world)
    ledger: Any = Interrupted(world.ledger, "append", collect_too)
    collect(world.context(ledger), world.batch(), lease)
    assert ledger.happened
    assert world.batch().status == "collected"
    assert world.batch().settled == 4
    assert sorted(world.statuses()) == ["errored", "failed", "succeeded", "succeeded"]
    world.check()


def test_a_request_that_changes_while_its_result_is_recorded(world: World) -> None:
    ended(world, 4)
    ledger: Any = Interrupted(world.ledger, "append", lambda: cancel_by_hand(world, 2))
    collect(world.context(ledger), world.batch(), lease_on(world))
    assert ledger.happened
    assert world.statuses() == ["succeeded", "succeeded", "canceled", "succeeded"]
    assert sorted(data.role for data in world.recorded(CacheUsageRecorded)).count("duplicate") == 1
    assert world.batch().status == "collected"
    world.check()


def test_a_collector_whose_lease_is_gone_records_nothing(world: World) -> None:
    ended(world, 4)
    stale = lease_on(world)
    world.clock.advance(16)
    lease = lease_on(world)
    head = world.ledger.head()
    with pytest.raises(LeaseLost):
        collect(world.context(), world.batch(), stale)
    assert world.ledger.head() == head
    collect(world.context(), world.batch(), lease)
    assert world.batch().status == "collected"


def test_a_batch_may_be_collected_as_long_as_it_takes(world: World) -> None:
    """Every page needs the lease; renewed from time to time it outlasts any file."""

    def slow(lines: list[ItemResult]) -> Lines:
        for line in lines:
            world.clock.advance(10)
            world.worker.leases.renew_held()
            yield line

    ended(world, 4)
    world.provider.plan("results", Turn(mangle=slow))
    assert world.worker.advance()
    assert world.batch().status == "collected"


def test_another_account_cannot_read_them(world: World) -> None:
    ended(world, 2)
    world.provider.account_in_use = OTHERS
    assert world.worker.advance()
    assert world.provider.calls["results"] == 0
    assert "belongs to another account" in (read_batch(world.ledger, world.batch().id).note or "")
    world.provider.account_in_use = OURS
    world.run()
    assert world.statuses() == ["succeeded"] * 2
