"""A batch whose submission nobody saw end is looked for, and never sent again while it may exist."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from datetime import datetime, timedelta
from itertools import pairwise

import msgspec
import pytest

from ledger.errors import ProviderError, ProviderRefused, ProviderUnreachable
from ledger.events import (
    BatchDuplicateDetected,
    BatchPolled,
    BatchSubmissionReleased,
    BatchSubmissionStarted,
    BatchSubmitted,
)
from scheduler.providers.base import BatchItem, ItemResult, ResultsUnavailable, SubmissionUncertain
from tests.support.fake_provider import OTHERS, OURS, Turn
from tests.support.manual_clock import LocalClock
from tests.support.world import World

LOST = SubmissionUncertain("no answer within 600 s")


def problems(world: World) -> list[str]:
    return [data.problem for data in world.recorded(BatchPolled) if data.problem]


def test_a_batch_that_was_taken_is_adopted_and_never_sent_again(world: World) -> None:
    world.provider.plan("create", Turn(lose=LOST))
    world.send(3)
    assert world.batch().status == "uncertain"
    world.run()
    (data,) = world.recorded(BatchSubmitted)
    assert (data.provider_batch_id, data.adopted) == ("msgbatch_0000", True)
    assert world.provider.calls["create"] == 1
    assert world.statuses() == ["succeeded"] * 3
    assert "waiting for the results of 1 batch that may be this one" in problems(world)
    world.check()


def test_nothing_there_is_believed_only_after_the_quiet_time(world: World) -> None:
    world.provider.plan("create", LOST)
    world.send()
    uncertain_since = world.clock.now()
    while world.batch().status == "uncertain":
        world.worker.advance()
        world.clock.advance(0.5)
    (released,) = [event for event in world.ledger.events() if isinstance(event.data, BatchSubmissionReleased)]
    assert (released.occurred_at - uncertain_since).total_seconds() >= 20
    assert "no candidate yet; it may still appear" in problems(world)
    world.run()
    assert world.provider.calls["create"] == 2
    assert world.provider.params_taken.total() == 1
    assert world.requests()[0].attempts == 1
    assert len({data.nonce for data in world.recorded(BatchSubmissionStarted)}) == 2
    world.check()


def test_the_quiet_time_begins_when_the_sender_saw_its_connection_end(world: World) -> None:
    # An upload may outlast the first term of its lease by far, since leases are renewed.
    def slow() -> None:
        for _ in range(100):
            world.clock.advance(5)
            world.worker.leases.renew_held()

    world.provider.visible_after = 15.0
    world.provider.plan("create", Turn(hook=slow, lose=LOST))
    world.submit()
    world.run()
    assert world.provider.calls["create"] == 1
    assert world.recorded(BatchSubmissionReleased) == []
    world.check()


def test_the_quiet_time_begins_anew_with_each_attempt(world: World) -> None:
    world.provider.plan("create", LOST, LOST, LOST)
    world.submit()
    world.run()
    events = [event for event in world.ledger.events() if event.type.startswith("batch.submission_")]
    gaps = [
        (after.occurred_at - before.occurred_at).total_seconds()
        for before, after in pairwise(events)
        if before.type == "batch.submission_uncertain"
    ]
    assert len(gaps) == 3
    assert min(gaps) > 19  # the provider tells its time in whole seconds


@pytest.mark.parametrize("taken", [True, False])
def test_a_strangers_batch_of_the_same_size_is_never_taken_for_ours(world: World, taken: bool) -> None:
    def stranger() -> None:
        world.provider.stranger(2)

    world.provider.plan("create", Turn(hook=stranger, lose=LOST) if taken else Turn(hook=stranger, refuse=LOST))
    world.send(2)
    world.provider.stranger(2)
    world.run()
    submitted = world.recorded(BatchSubmitted)
    assert [data.adopted for data in submitted] == [taken]
    assert world.provider.calls["create"] == (1 if taken else 2)
    assert world.provider.calls["cancel"] == 0
    assert world.provider.params_taken.total() == 2
    assert world.statuses() == ["succeeded"] * 2
    world.check()


def test_a_strangers_batch_holds_the_intent_until_it_ends(world: World) -> None:
    world.provider.batch_seconds = 600.0
    world.provider.plan("create", LOST)
    world.send(2)
    world.provider.stranger(2)
    for _ in range(100):
        world.clock.advance(5)
        world.worker.tick()
    assert world.batch().status == "uncertain"
    for _ in range(2):
        assert world.recorded(BatchSubmissionReleased) == []
        world.clock.advance(200)
        world.worker.tick()
    assert world.recorded(BatchSubmissionReleased) != []


def test_older_batches_and_those_of_another_size_are_not_even_read(world: World) -> None:
    world.provider.stranger(2)
    world.provider.plan("create", LOST)
    world.send(2)
    world.provider.stranger(3)
    world.run()
    assert world.provider.calls["results"] == 1
    assert world.statuses() == ["succeeded"] * 2
    world.check()


def test_a_strangers_results_are_read_twice(world: World) -> None:
    world.provider.plan("create", LOST)
    world.send(2)
    world.provider.stranger(2)
    world.clock.advance(10)
    for _ in range(5):
        world.worker.advance()
        world.clock.advance(3)
    assert world.provider.calls["list_newer"] > 2
    assert world.provider.calls["results"] == 2


@pytest.mark.parametrize(("seconds", "held"), [(3, False), (1, True)])
def test_where_the_noted_id_is_gone_what_was_there_before_holds_no_intent(
    world: World, seconds: int, held: bool
) -> None:
    def others() -> None:
        world.provider.stranger(2)
        world.clock.advance(seconds)
        world.provider.stranger(3)

    world.provider.plan("newest_batch", Turn(hook=others))
    world.provider.plan("create", LOST)
    world.provider.plan("results", *[ResultsUnavailable("no longer kept")] * 1_000)
    world.send(2)
    world.provider.batches.pop()
    for _ in range(100):
        world.clock.advance(1)
        world.worker.tick()
    assert len(world.recorded(BatchSubmissionReleased)) == (0 if held else 1)


def test_where_the_noted_id_is_gone_ours_is_still_found(world: World) -> None:
    world.provider.stranger(2)
    world.clock.advance(10_000)
    noted = world.provider.stranger(3)
    world.provider.plan("create", Turn(lose=LOST))
    world.send(2)
    world.provider.batches.remove(noted)
    world.run()
    assert [data.provider_batch_id for data in world.recorded(BatchSubmitted)] == ["msgbatch_0002"]
    assert world.provider.calls["create"] == 1
    world.check()


def test_where_nothing_was_there_before_every_batch_of_that_size_holds_the_intent(world: World) -> None:
    world.provider.newest_batch = lambda: None  # type: ignore[method-assign]
    world.provider.stranger(2)
    world.clock.advance(10_000)
    world.provider.plan("create", LOST)
    world.provider.plan("results", *[ResultsUnavailable("no longer kept")] * 1_000)
    world.send(2)
    assert world.recorded(BatchSubmissionStarted)[0].noted_at is None
    for _ in range(100):
        world.clock.advance(1)
        world.worker.tick()
    assert world.recorded(BatchSubmissionReleased) == []


def test_a_date_header_that_is_far_ahead_hides_nothing(world: World) -> None:
    world.provider.stranger(9)
    world.clock.advance(30)
    true_time = world.provider.provider_time

    def ahead() -> datetime | None:
        told = true_time()
        return told and told + timedelta(hours=2)

    world.provider.provider_time = ahead  # type: ignore[method-assign]
    world.provider.plan("create", Turn(lose=LOST))
    world.send(3)
    world.run()
    assert world.provider.calls["create"] == 1
    world.check()


def test_machines_of_the_provider_may_disagree_by_a_moment(world: World) -> None:
    noted = world.provider.stranger(3)
    world.provider.plan("create", Turn(lose=LOST))
    world.send(3)
    # Ours was made by a machine whose clock is behind: in the list it stands behind the noted one.
    theirs, ours = world.provider.batches
    assert theirs is noted
    ours.created_at = noted.created_at - timedelta(milliseconds=50)
    world.provider.batches[:] = [ours, theirs]
    world.run()
    assert world.provider.calls["create"] == 1
    world.check()


def test_a_stranger_that_cannot_be_read_hides_nothing(world: World) -> None:
    world.provider.plan("create", Turn(lose=LOST))
    world.send(3)
    theirs, results = world.provider.stranger(3), world.provider.results

    def unreadable(batch_id: str) -> Iterator[ItemResult]:
        if batch_id == theirs.id:
            raise ProviderUnreachable("500: internal error")
        return results(batch_id)

    world.provider.results = unreadable  # type: ignore[method-assign]
    world.run()
    assert world.statuses() == ["succeeded"] * 3
    world.check()


def moved(world: World, seconds: float) -> None:
    """Set our wall clock, and not the provider's."""
    world.ledger.clock = LocalClock(world.clock, seconds)
    world.worker = world.another_worker()


@pytest.mark.parametrize("tells_time", [True, False])
@pytest.mark.parametrize("days", [40, -40])
def test_a_jump_of_our_clock_releases_nothing(world: World, days: int, tells_time: bool) -> None:
    if not tells_time:
        world.provider.provider_time = lambda: None  # type: ignore[method-assign]
    world.provider.visible_after = 19.0
    world.provider.plan("create", Turn(lose=LOST))
    world.send(2)
    assert world.worker.advance()
    moved(world, days * 86_400)
    for _ in range(60):
        world.worker.tick()
        world.clock.advance(0.5)
    assert world.recorded(BatchSubmissionReleased) == []
    assert [data.provider_batch_id for data in world.recorded(BatchSubmitted)] == ["msgbatch_0000"]
    assert world.provider.calls["create"] == 1


@pytest.mark.parametrize("days", [40, -40])
def test_a_jump_before_the_first_look_releases_nothing(world: World, days: int) -> None:
    world.provider.visible_after = 1_000.0
    world.provider.plan("create", Turn(lose=LOST))
    world.send(2)
    moved(world, days * 86_400)
    for _ in range(19):
        world.worker.tick()
        world.clock.advance(1)
    assert world.recorded(BatchSubmissionReleased) == []


def test_a_quiet_time_without_a_providers_time_begins_anew_with_each_process(world: World) -> None:
    world.provider.provider_time = lambda: None  # type: ignore[method-assign]
    world.provider.plan("create", LOST)
    world.send(2)
    for _ in range(15):
        world.worker.tick()
        world.clock.advance(1)
    world.worker = world.another_worker()
    for _ in range(15):
        world.worker.tick()
        world.clock.advance(1)
    assert world.recorded(BatchSubmissionReleased) == []
    world.run()
    assert world.statuses() == ["succeeded"] * 2
    world.check()


def test_the_first_look_begins_the_quiet_time_also_for_another_process(world: World) -> None:
    world.provider.plan("create", LOST)
    world.send(2)
    began = world.clock.now()
    while not world.recorded(BatchSubmissionReleased):
        world.another_worker().tick()
        world.clock.advance(1)
    assert (world.clock.now() - began).total_seconds() < 30


def test_of_two_batches_with_our_nonce_one_is_adopted_and_the_other_is_a_twin(world: World) -> None:
    world.provider.plan("create", Turn(copies=2, lose=LOST))
    world.send(2)
    world.clock.advance(60)
    world.worker.advance()
    (adopted,) = [data for data in world.recorded(BatchSubmitted) if data.provider_batch_id == "msgbatch_0001"]
    (duplicate,) = world.recorded(BatchDuplicateDetected)
    first, twin = world.batches()
    assert adopted.adopted
    assert (duplicate.provider_batch_id, duplicate.twin_id) == ("msgbatch_0000", twin.id)
    assert (twin.twin_of, twin.request_count, twin.nonce) == (first.id, 2, first.nonce)
    assert world.provider.calls["cancel"] == 0


def test_a_candidate_that_is_refused_to_us_does_not_hide_ours(world: World) -> None:
    world.provider.plan("create", Turn(lose=LOST))
    world.send(2)
    world.provider.stranger(2)
    world.provider.plan("results", ProviderRefused("500", status=500, kind="api_error"))
    world.clock.advance(60)
    world.worker.advance()
    assert [data.adopted for data in world.recorded(BatchSubmitted)] == [True]


def foreign(lines: list[ItemResult]) -> Iterable[ItemResult | Exception]:
    """One line, and that somebody else's."""
    return [msgspec.structs.replace(lines[0], custom_id="somebody-0")]


def test_a_foreign_file_read_once_rules_nothing_out(world: World) -> None:
    world.provider.plan("create", Turn(lose=LOST))
    world.provider.plan("results", Turn(mangle=foreign))
    world.send(1)
    world.clock.advance(60)
    world.run()
    assert world.recorded(BatchSubmissionReleased) == []
    assert world.provider.calls["create"] == 1
    world.check()


def test_a_file_that_ends_early_without_our_nonce_rules_nothing_out(world: World) -> None:
    world.provider.plan("create", Turn(lose=LOST))
    world.provider.plan("results", *[Turn(mangle=foreign)] * 3)
    world.send(2)
    world.clock.advance(60)
    world.run()
    assert world.provider.calls["create"] == 1
    world.check()


def test_two_intents_of_one_size_read_a_stranger_in_common(world: World) -> None:
    read: list[str] = []
    results = world.provider.results

    def reading(batch_id: str) -> Iterable[ItemResult]:
        read.append(batch_id)
        return results(batch_id)

    world.provider.results = reading  # type: ignore[method-assign,assignment]
    world.provider.plan("create", Turn(lose=LOST), Turn(lose=LOST))
    world.submit(8)
    world.provider.plan("newest_batch", Turn(), Turn(late=lambda: world.provider.stranger(4)))
    world.run()
    assert [data.adopted for data in world.recorded(BatchSubmitted)] == [True, True]
    assert read.count("msgbatch_0001") == 2
    assert world.provider.calls["create"] == 2
    world.check()


def test_a_batch_of_ours_that_is_known_does_not_hold_the_intent(world: World) -> None:
    world.provider.batch_seconds = 600.0
    world.provider.plan("create", LOST)
    world.send(2)
    world.send(2)
    for _ in range(30):
        world.clock.advance(1)
        world.worker.tick()
    assert len(world.recorded(BatchSubmissionReleased)) == 1


def test_two_that_are_missing_find_each_their_own(world: World) -> None:
    world.provider.plan("create", Turn(lose=LOST), Turn(lose=LOST))
    world.submit(8)
    world.run()
    assert [data.adopted for data in world.recorded(BatchSubmitted)] == [True, True]
    assert world.provider.calls["create"] == 2
    assert world.statuses() == ["succeeded"] * 8
    world.check()


def test_a_batch_that_shows_late_is_found_within_the_quiet_time(world: World) -> None:
    world.provider.visible_after = 18.0
    world.provider.plan("create", Turn(lose=LOST))
    world.submit(2)
    world.run()
    assert world.provider.calls["create"] == 1
    assert [data.adopted for data in world.recorded(BatchSubmitted)] == [True]
    world.check()


@pytest.mark.parametrize(
    "error",
    [ProviderUnreachable("no connection"), ProviderRefused("500", status=500, kind="api_error")],
)
@pytest.mark.parametrize("call", ["list_newer", "results"])
def test_a_question_that_fails_decides_nothing(world: World, error: ProviderError, call: str) -> None:
    world.provider.plan("create", Turn(lose=LOST))
    world.provider.plan(call, error, error)
    world.send(2)
    world.clock.advance(30)
    world.worker.advance()
    assert world.worker.health.error is error
    assert str(error) in problems(world)
    world.run()
    assert world.provider.calls["create"] == 1
    world.check()


def cut(lines: list[ItemResult]) -> Iterable[ItemResult | Exception]:
    return [ResultsUnavailable("cut off")]


@pytest.mark.parametrize("mangle", [cut, lambda lines: []], ids=["cut", "silently empty"])
def test_results_without_a_line_prove_nothing(
    world: World, mangle: Callable[[list[ItemResult]], Iterable[ItemResult | Exception]]
) -> None:
    world.provider.plan("create", Turn(lose=LOST))
    world.provider.plan("results", Turn(mangle=mangle), Turn(mangle=mangle), Turn(mangle=mangle))
    world.send(2)
    world.clock.advance(60)
    world.run()
    assert world.provider.calls["create"] == 1
    assert world.recorded(BatchSubmissionReleased) == []
    assert world.worker.health.error is None
    world.check()


def test_a_candidate_whose_results_cannot_be_read_does_not_hide_the_others(world: World) -> None:
    world.provider.plan("create", Turn(lose=LOST))
    world.send(2)
    theirs = world.provider.stranger(2).id
    world.clock.advance(60)
    results = world.provider.results
    unreadable = ResultsUnavailable("gone")

    def reading(batch_id: str) -> Iterable[ItemResult]:
        if batch_id == theirs:
            raise unreadable
        return results(batch_id)

    world.provider.results = reading  # type: ignore[method-assign,assignment]
    world.run()
    assert [data.adopted for data in world.recorded(BatchSubmitted)] == [True]


def test_a_foreign_file_is_not_read_to_its_end(new_world: Callable[..., World]) -> None:
    world = new_world(max_requests=1_500, max_bytes=1_000_000)
    read: list[str] = []

    def watched(lines: list[ItemResult]) -> Iterable[ItemResult | Exception]:
        for line in lines:
            read.append(line.custom_id)
            yield line

    world.provider.plan("create", LOST)
    world.send(1_500)
    world.provider.stranger(1_500)
    world.provider.plan("results", Turn(mangle=watched))
    world.clock.advance(60)
    world.worker.tick()
    assert 0 < len(read) < 1_500


def test_another_account_is_not_asked(world: World, caplog: pytest.LogCaptureFixture) -> None:
    world.provider.plan("create", Turn(lose=LOST))
    world.send(2)
    calls = world.provider.calls.copy()
    world.provider.account_in_use = OTHERS
    for _ in range(30):
        world.clock.advance(10)
        world.worker.tick()
    assert world.provider.calls == calls
    assert world.batch().status == "uncertain"
    assert "credential 01234567)" in (world.batch().note or "")
    assert caplog.text.count("belongs to another account") == 1
    world.provider.account_in_use = OURS
    world.run()
    assert world.provider.calls["create"] == 1
    world.check()


def test_one_that_was_sent_by_an_earlier_intent_is_adopted_under_that_nonce(world: World) -> None:
    # The first batch shows only after it was given up for lost and sent again, and that answer got lost as well.
    world.provider.visible_after = 40.0
    world.provider.batch_seconds = 60.0
    world.provider.plan("create", Turn(lose=LOST), LOST)
    world.send(2)
    world.run()
    first, _ = world.recorded(BatchSubmissionStarted)
    (data,) = world.recorded(BatchSubmitted)
    assert (data.adopted, data.nonce) == (True, first.nonce)
    assert world.statuses() == ["succeeded"] * 2
    assert isinstance(world.provider.batches[0].items[0], BatchItem)
    world.check()
