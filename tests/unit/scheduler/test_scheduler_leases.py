"""Who works on what: one at a time, and never longer than agreed."""

from __future__ import annotations

import threading
from collections.abc import Callable

import pytest

from ledger.clock import to_micros
from ledger.events import ConfigRejected, NewEvent
from scheduler.leases import Lease, LeaseLost, Leases
from tests.support.manual_clock import ManualClock
from tests.support.world import World

HOUR, DAY = 3_600.0, 86_400.0


def leases(world: World, owner: str) -> Leases:
    return Leases(world.ledger, owner, 15.0)


def held(of: Leases, lease_id: str = "b1") -> Lease:
    lease = of.acquire(lease_id)
    assert lease is not None
    return lease


def append(world: World, lease: Lease) -> None:
    version = len(world.log("config/x")) + 1
    data = ConfigRejected(problems=())
    event = NewEvent("config/x", version, data, world.ledger.ids.new(), world.clock.now())
    world.ledger.append([event], guard=lease.guard)


def test_one_holder_at_a_time(world: World) -> None:
    one, other = leases(world, "one"), leases(world, "other")
    lease = held(one)
    assert other.acquire("b1") is None
    assert one.acquire("b1") is None
    assert held(other, "b2").id == "b2"
    lease.check()
    append(world, lease)


def test_given_back_it_is_free_at_once_and_no_longer_ours(world: World) -> None:
    one, other = leases(world, "one"), leases(world, "other")
    lease = held(one)
    one.release(lease)
    with pytest.raises(LeaseLost):
        append(world, lease)
    later = held(other)
    assert later.fence > lease.fence
    append(world, later)


def test_it_ends_by_itself(world: World) -> None:
    one, other = leases(world, "one"), leases(world, "other")
    lease = held(one)
    world.clock.advance(14.9)
    lease.check()
    assert other.acquire("b1") is None
    world.clock.advance(0.1)
    with pytest.raises(LeaseLost, match="b1") as caught:
        lease.check()
    assert caught.value.lease_id == "b1"
    assert held(other).fence == lease.fence + 1


def test_the_fence_refuses_a_holder_of_the_past(world: World) -> None:
    one, other = leases(world, "one"), leases(world, "other")
    stale = held(one)
    world.clock.advance(15)
    append(world, stale)  # nobody else took it yet: nothing speaks against it
    present = held(other)
    head = world.ledger.head()
    with pytest.raises(LeaseLost):
        append(world, stale)
    with pytest.raises(LeaseLost):
        stale.renew()
    assert world.ledger.head() == head
    append(world, present)


def test_the_fence_tells_two_holds_of_one_owner_apart(world: World) -> None:
    one = leases(world, "one")
    stale = held(one)
    world.clock.advance(15)
    present = held(one)
    with pytest.raises(LeaseLost):
        append(world, stale)
    append(world, present)


def test_a_holder_of_the_past_cannot_give_away_what_is_anothers(world: World) -> None:
    one, other = leases(world, "one"), leases(world, "other")
    stale = held(one)
    world.clock.advance(15)
    present = held(other)
    one.release(stale)
    one.release(stale, forget=True)
    assert leases(world, "third").acquire("b1") is None
    append(world, present)


def test_renewed_it_lasts_its_full_time_from_then_on(world: World) -> None:
    one, other = leases(world, "one"), leases(world, "other")
    lease = held(one)
    first = lease.deadline
    assert first == to_micros(world.clock.now()) + 15_000_000
    for _ in range(10):
        world.clock.advance(10)
        one.renew_held()
    lease.check()
    assert other.acquire("b1") is None
    assert lease.deadline == first + 100_000_000
    world.clock.advance(15)
    assert other.acquire("b1") is not None


def test_a_renewal_after_the_end_is_fine_as_long_as_nobody_else_came(world: World) -> None:
    lease = held(leases(world, "one"))
    world.clock.advance(100)
    lease.renew()
    lease.check()


def test_what_was_given_back_is_not_renewed(world: World) -> None:
    one, other = leases(world, "one"), leases(world, "other")
    lease = held(one)
    one.release(lease)
    one.renew_held()
    with pytest.raises(LeaseLost):
        lease.renew()
    assert other.acquire("b1") is not None


def test_what_was_lost_is_not_renewed_again(world: World) -> None:
    one, other = leases(world, "one"), leases(world, "other")
    held(one)
    world.clock.advance(15)
    present = held(other)
    one.renew_held()
    other.release(present)
    one.renew_held()
    assert leases(world, "third").acquire("b1") is not None


def test_a_second_hold_stays_in_hand_when_the_first_is_given_back(world: World) -> None:
    one = leases(world, "one")
    stale = held(one)
    world.clock.advance(15)
    present = held(one)
    one.release(stale)
    world.clock.advance(10)
    one.renew_held()
    world.clock.advance(10)
    present.check()


def test_forgotten_it_leaves_no_trace(world: World) -> None:
    one = leases(world, "one")
    one.release(held(one), forget=True)
    assert held(one).fence == 1


@pytest.mark.parametrize("jump", [HOUR, 40 * DAY])
def test_the_wall_clock_is_set_ahead(world: World, jump: float) -> None:
    one, other = leases(world, "one"), leases(world, "other")
    lease = held(one)
    world.clock.jump(jump)
    lease.check()
    present = held(other)
    with pytest.raises(LeaseLost):
        append(world, lease)
    append(world, present)


@pytest.mark.parametrize("jump", [HOUR, 40 * DAY])
def test_the_wall_clock_is_set_ahead_and_the_holder_is_quicker(world: World, jump: float) -> None:
    one, other = leases(world, "one"), leases(world, "other")
    lease = held(one)
    world.clock.jump(jump)
    one.renew_held()
    assert other.acquire("b1") is None
    lease.check()
    append(world, lease)


@pytest.mark.parametrize("jump", [-HOUR, -40 * DAY])
def test_the_wall_clock_is_set_back_under_a_holder(world: World, jump: float) -> None:
    one, other = leases(world, "one"), leases(world, "other")
    lease = held(one)
    world.clock.advance(5)
    world.clock.jump(jump)
    lease.check()
    append(world, lease)
    one.renew_held()
    assert other.acquire("b1") is None
    world.clock.advance(15)
    with pytest.raises(LeaseLost):
        lease.check()
    assert other.acquire("b1") is not None


class _WaitingClock(ManualClock):
    """Time passes between any two looks at it, as it does while a busy database makes a writer wait."""

    def now(self):  # type: ignore[no-untyped-def]
        self.advance(1.0)
        return super().now()


def test_the_deadline_is_the_instant_from_which_others_may_have_it(world: World) -> None:
    world.ledger.clock = _WaitingClock()
    lease = held(leases(world, "one"))
    with world.ledger.read() as connection:
        stored = connection.exec_driver_sql("SELECT lease_until FROM leases").scalar()
    assert lease.deadline == stored


def test_a_renewal_that_fails_is_said_and_tried_again(world: World, caplog: pytest.LogCaptureFixture) -> None:
    one = leases(world, "one")
    lease = held(one)
    renew = lease.renew
    failures: list[Callable[[], None]] = []

    def failing() -> None:
        failures.append(renew)
        raise OSError("disk full")

    lease.renew = failing  # type: ignore[method-assign]
    one.renew_held()
    lease.renew = renew  # type: ignore[method-assign]
    world.clock.advance(10)
    one.renew_held()
    world.clock.advance(10)
    lease.check()
    assert caplog.messages == ["lease on b1 not renewed: disk full"]


def test_leases_are_renewed_in_the_background(shared_world: World) -> None:
    world = shared_world
    one = Leases(world.ledger, "one", 0.03)
    lease = held(one)
    renewed = threading.Event()
    renew = lease.renew

    def watched() -> None:
        renew()
        renewed.set()

    lease.renew = watched  # type: ignore[method-assign]
    one.start()
    assert renewed.wait(10)
    one.stop()
    assert "llm-ledger-leases" not in {thread.name for thread in threading.enumerate()}
    one.stop()


def test_many_that_reach_for_it_at_once_and_one_gets_it(shared_world: World) -> None:
    start = threading.Barrier(4)
    got: list[Lease | None] = []

    def reach(owner: str) -> None:
        mine = leases(shared_world, owner)
        start.wait()
        got.append(mine.acquire("b1"))

    threads = [threading.Thread(target=reach, args=(f"w{number}",)) for number in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len([lease for lease in got if lease is not None]) == 1
