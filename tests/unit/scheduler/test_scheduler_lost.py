"""What nobody will ever see is given up, but not before that is certain, and never by our own clock."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable
from typing import Any

import pytest

from ledger.errors import ProviderRefused, ProviderUnreachable
from ledger.events import (
    BatchEnded,
    BatchPolled,
    BatchResultsCollected,
    CacheUsageRecorded,
    RequestAbandoned,
    RequestCostUnknown,
)
from ledger.verify import verify
from scheduler.by_hand import MayBePaid, retry_request
from scheduler.providers.base import BatchItem, ItemResult, ResultsUnavailable
from scheduler.twins import record_twin
from scheduler.wire import wire_id
from tests.support.fake_provider import Fate, Turn
from tests.support.manual_clock import LocalClock
from tests.support.world import World

DAY = 86_400.0
GONE = Turn(mangle=lambda lines: [ResultsUnavailable("404: the results are not there")])
UNKNOWN = ProviderRefused("404: there is no such batch", status=404, kind="not_found_error")

Mangle = Callable[[list[ItemResult]], Iterable[ItemResult]]


def ended(world: World, many: int) -> None:
    world.send(many)
    world.clock.advance(11)
    assert world.worker.advance()
    assert world.batch().status == "ended"


def without(*numbers: int) -> Mangle:
    """The file without these items."""
    return lambda lines: [line for line in lines if int(line.custom_id.rpartition("-")[2]) not in numbers]


def always(world: World, call: str, turn: Turn) -> None:
    world.provider.chance = lambda name: turn if name == call else Turn()


def reasons(world: World) -> set[str]:
    return {data.reason for data in world.recorded(RequestCostUnknown)}


def sound(world: World) -> bool:
    return verify(world.ledger.database).problems == ()


def test_items_that_every_whole_reading_lacks_are_given_up_after_a_day(world: World) -> None:
    always(world, "results", Turn(mangle=without(1, 3)))
    ended(world, 4)
    began = world.clock.now()
    world.run(seconds=2 * DAY)
    assert (world.clock.now() - began).total_seconds() >= DAY
    assert world.statuses() == ["succeeded", "abandoned", "succeeded", "abandoned"]
    assert reasons(world) == {"the provider's results lack it, however often they are read"}
    assert {(data.batch_id, data.batch_index) for data in world.recorded(RequestCostUnknown)} == {
        (world.batch().id, 1),
        (world.batch().id, 3),
    }
    assert all("`llm-ledger retry ID` sends it again" in data.reason for data in world.recorded(RequestAbandoned))
    (told,) = world.recorded(BatchResultsCollected)
    assert (told.lines, told.missing) == (2, 2)
    assert world.batch().settled == 4
    note = world.batch().note or ""
    assert note.startswith("2 of 4 items were given up as lost; the provider counted 4 succeeded, its results hold 2")
    # The file is whole: it is not read again every few seconds for a day.
    assert world.provider.calls["results"] < 120
    assert sound(world)


def test_what_was_given_up_is_sent_again_only_on_purpose(world: World) -> None:
    always(world, "results", Turn(mangle=without(1)))
    ended(world, 2)
    world.run(seconds=2 * DAY)
    world.provider.chance = lambda name: Turn()
    row = world.requests()[1]
    with pytest.raises(MayBePaid):
        retry_request(world.ledger, row, world.clock.now())
    retry_request(world.ledger, row, world.clock.now(), paid_twice=True)
    world.run()
    assert world.statuses() == ["succeeded"] * 2
    assert sound(world)


def test_items_that_come_after_all_are_collected(world: World) -> None:
    ended(world, 4)
    world.provider.plan("results", *[Turn(mangle=without(2))] * 20)
    world.run(seconds=DAY)
    assert world.statuses() == ["succeeded"] * 4
    assert world.recorded(RequestCostUnknown) == []
    assert world.batch().note is None
    world.check()


def test_another_set_of_missing_items_begins_the_day_anew(world: World) -> None:
    ended(world, 4)
    started = world.clock.now()

    def changing(lines: list[ItemResult]) -> Iterable[ItemResult]:
        early = (world.clock.now() - started).total_seconds() < DAY - 3_600
        return without(*((1, 2) if early else (1, 2, 3)))([*lines])

    def forgetful(lines: list[ItemResult]) -> Iterable[ItemResult]:
        return [] if world.recorded(CacheUsageRecorded) else changing(lines)

    always(world, "results", Turn(mangle=forgetful))
    world.run(seconds=4 * DAY)
    assert world.recorded(RequestAbandoned)
    assert sound(world)


def test_a_crash_while_items_are_given_up_costs_nothing(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    always(world, "results", Turn(mangle=lambda lines: []))
    ended(world, 4)
    monkeypatch.setattr("scheduler.lost._PAGE", 1)
    append = world.ledger.append
    left = [2]

    def dying(events: Any, **more: Any) -> Any:
        events = list(events)
        if any(isinstance(event.data, RequestAbandoned) for event in events):
            left[0] -= 1
            if left[0] == 0:
                raise KeyboardInterrupt
        return append(events, **more)

    monkeypatch.setattr(world.ledger, "append", dying)
    with pytest.raises(KeyboardInterrupt):
        world.run(seconds=2 * DAY)
    assert world.statuses().count("abandoned") == 1
    world.run(seconds=2 * DAY)
    assert world.statuses() == ["abandoned"] * 4
    assert len(world.recorded(RequestCostUnknown)) == 4
    assert world.batch().settled == 4
    assert sound(world)


def test_results_older_than_the_provider_keeps_them(world: World) -> None:
    ended(world, 3)
    world.clock.advance(30 * DAY)
    always(world, "results", GONE)
    world.run(seconds=600)
    assert world.statuses() == ["abandoned"] * 3
    (reason,) = reasons(world)
    assert reason.startswith("its results expired on ")
    (told,) = world.recorded(BatchResultsCollected)
    assert (told.lines, told.missing, told.counts) == (0, 3, None)
    assert (world.batch().status, world.batch().settled) == ("collected", 3)
    assert world.batch().note == "3 of 3 items were given up as lost"
    assert "however" not in (world.requests()[0].error_message or "")
    assert sound(world)


def test_what_was_read_before_is_kept(world: World) -> None:
    ended(world, 3)
    world.provider.plan("results", Turn(mangle=without(1)))
    assert world.worker.advance()
    world.clock.advance(30 * DAY)
    always(world, "results", GONE)
    world.run(seconds=600)
    assert world.statuses() == ["succeeded", "abandoned", "succeeded"]
    assert len(world.recorded(RequestCostUnknown)) == 1
    assert sound(world)


def test_old_results_that_can_still_be_read_are_read(world: World) -> None:
    ended(world, 3)
    world.clock.advance(30 * DAY)
    world.provider.batches[0].created_at = world.clock.now()  # it keeps these longer than it promised
    broken = Turn(mangle=lambda lines: [*lines[:1], ResultsUnavailable("the connection broke off")])
    world.provider.plan("results", ProviderUnreachable("no connection"), broken, broken)
    world.run(seconds=600)
    assert world.statuses() == ["succeeded"] * 3
    world.check()


@pytest.mark.parametrize("call", ["retrieve", "results"])
def test_a_jump_of_our_clock_gives_up_nothing(world: World, call: str) -> None:
    world.provider.batch_seconds = 60.0
    world.send(3)
    if call == "results":
        world.clock.advance(61)
        world.provider.clock = world.clock
        assert world.worker.advance()

    def deny() -> None:
        raise UNKNOWN

    world.clock.jump(40 * DAY)
    world.provider.clock = LocalClock(world.clock, ahead=-40 * DAY)
    world.provider.plan(call, *[Turn(late=deny)] * 10)
    world.run(seconds=3_600)
    assert world.statuses() == ["succeeded"] * 3
    assert world.recorded(RequestCostUnknown) == []
    world.check()


def test_a_jump_of_our_clock_makes_no_day_of_a_minute(world: World) -> None:
    always(world, "results", Turn(mangle=without(1)))
    ended(world, 2)
    for jumped in (0, 1, 2):
        world.clock.jump(40 * DAY * min(jumped, 1))
        world.provider.clock = LocalClock(world.clock, ahead=-40 * DAY * jumped)
        for _ in range(5):
            world.worker.tick()
            world.clock.advance(20)
    assert world.recorded(RequestCostUnknown) == []
    assert sorted(world.statuses()) == ["batched", "succeeded"]


def test_a_provider_that_tells_no_time_is_asked_on_and_on(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    ended(world, 1)
    monkeypatch.setattr(world.provider, "provider_time", lambda: None)
    world.clock.advance(40 * DAY)
    always(world, "results", GONE)
    for _ in range(20):
        world.clock.advance(10)
        world.worker.tick()
    assert world.statuses() == ["batched"]


def test_a_batch_that_the_provider_has_forgotten(world: World) -> None:
    world.send(2)
    world.clock.advance(28 * DAY)
    world.provider.batches[0].deleted = True
    assert world.worker.advance()
    assert world.statuses() == ["batched"] * 2
    world.clock.advance(2 * DAY)
    world.run(seconds=3_600)
    assert world.statuses() == ["abandoned"] * 2
    assert world.recorded(BatchEnded) == []
    assert world.batch().status == "collected"
    assert sound(world)


def twin(world: World, *fates: Fate) -> None:
    """A second batch for the first one's intent, over already."""
    original = world.batches()[0]
    bodies = [item.params for item in world.provider.batches[0].items]
    held = world.provider.hold(BatchItem(wire_id(original.nonce or "", n), body) for n, body in enumerate(bodies))
    held.ends_at = held.created_at
    for body, fate in zip(bodies, fates, strict=False):
        world.provider.fates[body].append(fate)
    record_twin(world.context(), original, world.provider.retrieve(held.id), original.nonce or "")


def test_answers_of_a_twin_that_nobody_will_see_cost_something_unknown(world: World) -> None:
    world.send(2)
    world.run()
    twin(world)
    assert world.worker.advance()
    world.clock.advance(30 * DAY)
    always(world, "results", GONE)
    world.run(seconds=600)
    assert world.statuses() == ["succeeded"] * 2
    assert {data.batch_id for data in world.recorded(RequestCostUnknown)} == {world.batches()[1].id}
    assert [one.status for one in world.batches()] == ["collected"] * 2
    assert sound(world)


def test_a_twin_that_answered_nothing_cost_nothing(world: World) -> None:
    world.send(2)
    world.run()
    twin(world, "canceled", "expired")
    assert world.worker.advance()
    world.clock.advance(30 * DAY)
    always(world, "results", GONE)
    world.run(seconds=600)
    assert world.recorded(RequestCostUnknown) == []
    assert [one.status for one in world.batches()] == ["collected"] * 2
    world.check()


def test_who_may_miss_the_results_is_told_in_the_note_and_once_in_the_log(
    world: World, caplog: pytest.LogCaptureFixture
) -> None:
    ended(world, 1)
    always(world, "results", GONE)
    with caplog.at_level(logging.WARNING, logger="scheduler.lost"):
        for days, said in ((1, None), (22, "less than 7 days"), (5.5, "less than a day"), (0.6, None)):
            world.clock.advance(days * DAY)
            for _ in range(2):
                world.worker.advance()
                world.clock.advance(20)
            if said is not None:
                assert said in (world.batch().note or "")
    told = [record.getMessage() for record in caplog.records]
    assert [("7 days" in line, "a day" in line, "may be gone" in line) for line in told] == [
        (True, False, False),
        (False, True, False),
        (False, False, True),
    ]
    assert any("less than a day" in (data.problem or "") for data in world.recorded(BatchPolled))
