"""Whose batches: they wait for their account's key, or for proof that another key is the same account's."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from ledger.errors import InputError, ProviderRefused
from ledger.events import BatchSubmissionReleased
from ledger.verify import verify
from scheduler.account import account_of, take_over
from scheduler.providers.base import SubmissionUncertain
from scheduler.uncertain import release
from tests.support.fake_provider import OTHERS, OURS, Turn
from tests.support.interrupted import Interrupted
from tests.support.world import World

LOST = SubmissionUncertain("no answer within 600 s")


def rotate(world: World) -> None:
    """From here on the account goes by another key."""
    for held in world.provider.batches:
        held.account = OTHERS
    world.provider.account_in_use = OTHERS


def two_open(world: World) -> None:
    """One batch under way, and one whose submission nobody saw end."""
    world.provider.batch_seconds = 60.0
    world.send(2)
    world.provider.plan("create", Turn(lose=LOST))
    world.submit(3)
    while world.provider.calls["create"] < 2:
        world.clock.advance(1)
        world.worker.tick()


def test_the_note_says_the_way_out(world: World) -> None:
    world.send(2)
    world.provider.account_in_use = OTHERS
    world.clock.advance(5)
    world.worker.tick()
    note = world.batch().note or ""
    assert "belongs to another account (https://fake.test, credential 01234567); set that account's key again" in note
    assert note.endswith("llm-ledger reconcile --same-account msgbatch_0000")


def test_a_rotated_key_goes_on_with_every_open_batch_once_one_is_seen_with_it(world: World) -> None:
    two_open(world)
    rotate(world)
    first, second = world.batches()
    assert (first.status, second.status) == ("in_progress", "uncertain")
    assert take_over(world.context(), first) == 2
    assert [account_of(batch) for batch in world.batches()] == [OTHERS, OTHERS]
    assert verify(world.ledger.database).problems == ()
    assert [batch.status for batch in world.batches()] == ["in_progress", "uncertain"]


def test_a_worker_at_rest_goes_on_at_once_with_what_was_handed_over(world: World) -> None:
    two_open(world)
    rotate(world)
    world.clock.advance(60)
    world.worker.tick()
    assert len(world.worker.elsewhere.resting()) == 2
    take_over(world.context(), world.batches()[0])
    world.run(seconds=30.0)
    assert world.statuses() == ["succeeded"] * 5
    assert world.provider.calls["create"] == 2
    world.check()


def test_a_worker_at_rest_sends_at_once_what_was_given_up_by_hand(world: World) -> None:
    world.provider.plan("create", LOST)
    world.send(2)
    world.provider.account_in_use = OTHERS
    world.clock.advance(1)
    assert world.worker.advance()
    assert world.batch().status == "uncertain"
    release(world.context(), world.worker.leases, world.batch().id, lambda _: True)
    assert world.worker.advance()
    assert (world.batch().status, account_of(world.batch())) == ("in_progress", OTHERS)


def test_an_account_that_does_not_see_the_batch_proves_nothing(world: World) -> None:
    two_open(world)
    before = world.names()
    world.provider.account_in_use = OTHERS
    with pytest.raises(InputError, match="msgbatch_0000 is not visible with the present key"):
        take_over(world.context(), world.batches()[0])
    assert world.names() == before


def test_a_batch_of_another_size_proves_nothing(world: World) -> None:
    two_open(world)
    rotate(world)
    world.provider.batches[0].items.pop()
    with pytest.raises(InputError, match="has 1 items with the present key, but 2 were sent"):
        take_over(world.context(), world.batches()[0])
    assert [account_of(batch) for batch in world.batches()] == [OURS, OURS]


def test_what_the_provider_is_not_known_to_have_proves_nothing(world: World) -> None:
    two_open(world)
    rotate(world)
    with pytest.raises(InputError, match="name another one"):
        take_over(world.context(), world.batches()[1])


def test_the_present_account_has_nothing_to_take_over(world: World) -> None:
    world.send(2)
    with pytest.raises(InputError, match="already belongs"):
        take_over(world.context(), world.batch())


def test_a_provider_that_refuses_says_so_itself(world: World) -> None:
    two_open(world)
    rotate(world)
    refusal = ProviderRefused("401: wrong key", status=401, kind="authentication_error")
    world.provider.plan("retrieve", refusal)
    with pytest.raises(ProviderRefused):
        take_over(world.context(), world.batches()[0])


def test_a_batch_that_changes_in_that_moment_is_handed_over_all_the_same(new_world: Callable[..., World]) -> None:
    world = new_world()
    two_open(world)
    rotate(world)
    first, second = world.batches()

    def look() -> None:
        world.clock.advance(60)
        while world.worker.advance():
            pass

    ledger: Any = Interrupted(world.ledger, "append", look)
    assert take_over(world.context(ledger), first) == 2
    assert [account_of(batch) for batch in world.batches()] == [OTHERS, OTHERS]
    assert verify(world.ledger.database).problems == ()
    assert world.batches()[1].version > second.version + 1


def test_another_accounts_key_releases_and_submits_nothing(world: World) -> None:
    two_open(world)
    calls = world.provider.calls["create"]
    world.provider.account_in_use = OTHERS
    for _ in range(50):
        world.clock.advance(100)
        world.worker.tick()
    assert world.recorded(BatchSubmissionReleased) == []
    assert world.provider.calls["create"] == calls
