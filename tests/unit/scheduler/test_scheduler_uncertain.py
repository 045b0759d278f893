"""Uncertain batches by hand: looked for now, or given up for lost."""

from __future__ import annotations

import pytest

from ledger.errors import InputError, UnknownId
from ledger.events import BatchSubmissionReleased, BatchSubmissionUncertain, BatchSubmitted
from scheduler.leases import Leases
from scheduler.providers.base import SubmissionUncertain
from scheduler.uncertain import Sought, release, seek
from tests.support.fake_provider import OTHERS, Turn
from tests.support.world import World

LOST = SubmissionUncertain("no answer within 600 s")


@pytest.fixture
def by_hand(world: World) -> Leases:
    """The leases of the process that somebody started by hand."""
    return Leases(world.ledger, "hand", 15.0)


def outcomes(sought: list[Sought]) -> list[str]:
    return [one.outcome for one in sought]


def lost(world: World, *, made: bool = True) -> None:
    world.provider.batch_seconds = 600.0
    world.provider.plan("create", Turn(lose=LOST) if made else LOST)
    world.send(2)


def test_nothing_is_sought_where_all_is_certain(world: World, by_hand: Leases) -> None:
    world.send(2)
    calls = world.provider.calls.total()
    assert seek(world.context(), by_hand) == []
    assert world.provider.calls.total() == calls


def test_each_is_looked_for_now(world: World, by_hand: Leases) -> None:
    lost(world)
    (first,) = seek(world.context(), by_hand)
    assert (first.outcome, first.batch_id, first.items) == ("uncertain", world.batch().id, 2)
    assert first.why == "waiting for the results of 1 batch that may be this one"
    world.clock.advance(600)
    (second,) = seek(world.context(), by_hand)
    assert (second.outcome, second.provider_batch_id) == ("adopted", "msgbatch_0000")
    assert seek(world.context(), by_hand) == []


def test_one_whose_time_is_over_is_released(world: World, by_hand: Leases) -> None:
    lost(world, made=False)
    assert outcomes(seek(world.context(), by_hand)) == ["uncertain"]
    world.clock.advance(20)
    assert outcomes(seek(world.context(), by_hand)) == ["uncertain"]
    (sought,) = seek(world.context(), by_hand)
    assert (sought.outcome, sought.provider_batch_id) == ("released", None)
    assert sought.why == "to be sent again: the provider lists no batch that could be this one"


def test_one_whose_sender_is_gone_is_sought_too(world: World, by_hand: Leases) -> None:
    world.provider.plan("create", Turn(hook=lambda: (_ for _ in ()).throw(KeyboardInterrupt)))
    world.submit(2)
    world.plan()
    with pytest.raises(KeyboardInterrupt):
        world.worker.advance()
    assert seek(world.context(), by_hand) == []
    world.clock.advance(15)
    assert outcomes(seek(world.context(), by_hand)) == ["uncertain"]
    assert len(world.recorded(BatchSubmissionUncertain)) == 1


def test_what_another_process_is_at_is_left_to_it(world: World, by_hand: Leases) -> None:
    lost(world)
    assert Leases(world.ledger, "other", 15.0).acquire(world.batch().id) is not None
    (sought,) = seek(world.context(), by_hand)
    assert (sought.outcome, sought.why) == ("held", "another process is at work on it")
    with pytest.raises(InputError, match="another process is at work on it; try again"):
        release(world.context(), by_hand, world.batch().id, lambda _: True)


def test_one_may_be_given_up_by_hand(world: World, by_hand: Leases) -> None:
    lost(world)
    told: list[Sought] = []

    def confirmed(sought: Sought) -> bool:
        told.append(sought)
        return True

    sought = release(world.context(), by_hand, world.batch().id[:12], confirmed)
    assert sought.outcome == "released"
    assert [one.why for one in told] == ["waiting for the results of 1 batch that may be this one"]
    (data,) = world.recorded(BatchSubmissionReleased)
    assert data.reason == "by hand (waiting for the results of 1 batch that may be this one)"
    world.worker.tick()
    assert world.provider.calls["create"] == 2


def test_without_a_yes_nothing_is_given_up(world: World, by_hand: Leases) -> None:
    lost(world)
    assert release(world.context(), by_hand, world.batch().id, lambda _: False).outcome == "uncertain"
    assert world.recorded(BatchSubmissionReleased) == []


def test_one_that_the_last_look_finds_is_not_given_up(world: World, by_hand: Leases) -> None:
    lost(world)
    world.clock.advance(600)
    assert release(world.context(), by_hand, world.batch().id, lambda _: True).outcome == "adopted"
    assert world.recorded(BatchSubmissionReleased) == []


def test_one_that_changes_while_somebody_thinks_is_not_given_up(world: World, by_hand: Leases) -> None:
    lost(world)

    def slow(_: Sought) -> bool:
        world.clock.advance(600)
        world.worker.tick()
        return True

    assert release(world.context(), by_hand, world.batch().id, slow).outcome == "adopted"
    assert len(world.recorded(BatchSubmitted)) == 1
    assert world.recorded(BatchSubmissionReleased) == []


def test_one_that_is_taken_while_somebody_thinks_is_not_given_up(world: World, by_hand: Leases) -> None:
    lost(world)
    other = Leases(world.ledger, "other", 15.0)
    with pytest.raises(InputError, match="another process"):
        release(world.context(), by_hand, world.batch().id, lambda sought: bool(other.acquire(sought.batch_id)))


def test_one_of_a_key_that_is_gone_may_be_given_up(world: World, by_hand: Leases) -> None:
    lost(world)
    world.provider.account_in_use = OTHERS
    calls = world.provider.calls.total()
    assert release(world.context(), by_hand, world.batch().id, lambda _: True).outcome == "released"
    assert world.provider.calls.total() == calls


@pytest.mark.parametrize("batch", ["nothing", "msgbatch_0000"])
def test_only_an_uncertain_batch_can_be_given_up(world: World, by_hand: Leases, batch: str) -> None:
    world.send(2)
    with pytest.raises((InputError, UnknownId)):
        release(world.context(), by_hand, batch, lambda _: True)
    assert world.recorded(BatchSubmissionReleased) == []
