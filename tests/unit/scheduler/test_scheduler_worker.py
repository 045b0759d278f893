"""One worker finds what is due, takes the lease on it, makes one step; several share a ledger."""

from __future__ import annotations

import logging
import os
import socket
import threading
from collections import Counter

import msgspec
import pytest

from ledger.errors import DatabaseUnusable, ProviderRefused, ProviderUnreachable
from ledger.events import BatchPolled
from scheduler import Context, Worker
from scheduler import worker as worker_module
from scheduler.budget import ModelUnpriced
from scheduler.leases import Leases
from scheduler.machine import Step
from scheduler.providers.base import CapacityRefused, SubmissionUncertain
from tests.support.fake_provider import OTHERS, Turn
from tests.support.world import World

SILENT = ProviderUnreachable("no connection")
BROKEN = RuntimeError("nobody thought of this")


def leases_left(world: World) -> int:
    with world.ledger.read() as connection:
        count = connection.exec_driver_sql("SELECT count(*) FROM leases WHERE lease_until > 0").scalar()
    assert count is not None
    return int(count)


def test_requests_go_all_the_way(world: World) -> None:
    world.submit(10)
    world.run()
    assert world.statuses() == ["succeeded"] * 10
    assert [batch.status for batch in world.batches()] == ["collected"] * 3
    assert world.provider.params_taken.total() == 10
    world.check()


def test_a_run_with_nothing_to_do(world: World) -> None:
    assert world.worker.tick() == 0
    assert not world.worker.advance()


def test_the_real_nonces_and_chances_do_as_well(world: World) -> None:
    context = Context(ledger=world.ledger, provider=world.provider, policy=lambda: world.policy)
    world.submit(8)
    world.run(Worker(context, "named"))
    nonces = {item.custom_id.rpartition("-")[0] for held in world.provider.batches for item in held.items}
    assert len(nonces) == 2
    assert {len(nonce) for nonce in nonces} == {16}


def test_what_is_over_leaves_no_lease_behind(world: World) -> None:
    world.submit(6)
    world.run()
    with world.ledger.read() as connection:
        assert connection.exec_driver_sql("SELECT count(*) FROM leases").scalar() == 0


def test_a_lease_tells_the_process_that_holds_it(world: World) -> None:
    assert world.worker.leases.acquire("b1") is not None
    with world.ledger.read() as connection:
        owner = str(connection.exec_driver_sql("SELECT owner FROM leases").scalar())
    host, process, _ = owner.rsplit(":", 2)
    assert (host, process) == (socket.gethostname(), str(os.getpid()))


def test_what_somebody_else_holds_is_left_alone(world: World) -> None:
    world.submit(8)
    world.plan()
    first, second = world.batches()
    assert Leases(world.ledger, "other", 15.0).acquire(first.id) is not None
    assert world.worker.advance()
    assert not world.worker.advance()
    assert [batch.status for batch in world.batches()] == ["planned", "in_progress"]
    assert second.status == "planned"
    world.clock.advance(15)
    world.run()
    assert world.statuses() == ["succeeded"] * 8


def test_what_somebody_took_between_looking_and_taking_is_left_alone(world: World) -> None:
    world.submit(4)
    world.plan()
    acquire = world.worker.leases.acquire
    other = world.another_worker()

    def late(lease_id: str) -> object:
        other.leases.acquire(lease_id)
        return acquire(lease_id)

    world.worker.leases.acquire = late  # type: ignore[method-assign,assignment]
    assert not world.worker.advance()
    assert world.batch().status == "planned"


def test_what_somebody_did_between_looking_and_taking_is_not_done_again(world: World) -> None:
    world.submit(4)
    world.plan()
    acquire = world.worker.leases.acquire
    other = world.another_worker()

    def late(lease_id: str) -> object:
        assert other.advance()
        return acquire(lease_id)

    world.worker.leases.acquire = late  # type: ignore[method-assign,assignment]
    assert world.worker.advance()
    assert world.provider.calls["create"] == 1
    assert world.provider.calls["retrieve"] == 0


def test_batches_of_another_provider_are_left_to_its_own_worker(world: World) -> None:
    world.submit(4)
    world.plan()
    world.provider.name = "another"
    assert not world.worker.advance()


def test_what_is_due_longest_comes_first(world: World) -> None:
    world.submit(12)
    world.plan()
    for _ in range(3):
        world.worker.advance()
    first, second, third = (batch.id for batch in world.batches())
    sent = [event.stream_id for event in world.ledger.events() if event.type == "batch.submitted"]
    assert sent == [f"batch/{batch}" for batch in (first, second, third)]


def test_while_the_provider_is_silent_it_is_left_in_peace(world: World) -> None:
    world.submit(8)
    world.plan()
    world.provider.plan("newest_batch", SILENT)
    assert world.worker.advance()
    assert not world.worker.advance()
    assert world.provider.calls.total() == 1
    world.clock.advance(1)
    assert world.worker.advance()
    assert world.worker.health.error is None


def test_a_step_that_asks_nobody_proves_no_answer(world: World) -> None:
    world.provider.plan("create", Turn(lose=BROKEN))
    world.send()
    world.clock.advance(15)
    world.worker.health.failed(SILENT)
    world.clock.advance(1)
    assert world.worker.advance()
    assert world.batch().status == "uncertain"
    assert world.worker.health.error is SILENT
    world.run()
    assert world.worker.health.error is None


@pytest.mark.parametrize("status", ["uncertain", "in_progress", "ended"])
def test_a_batch_of_another_account_proves_no_answer(world: World, status: str) -> None:
    if status == "uncertain":
        world.provider.plan("create", Turn(lose=SubmissionUncertain("no answer")))
    world.provider.batch_seconds = 0.0
    world.send()
    world.clock.advance(2)
    if status == "ended":
        assert world.worker.advance()
    assert world.batch().status == status
    world.provider.account_in_use = OTHERS
    world.worker.health.failed(SILENT)
    world.clock.advance(1)
    assert world.worker.advance()
    assert "another account" in (world.batch().note or "")
    assert world.worker.health.error is SILENT


def test_a_batch_of_another_account_is_looked_at_less_and_less_often(world: World) -> None:
    world.provider.batch_seconds = 10_000.0
    world.send()
    for _ in range(50):
        world.clock.advance(8)
        world.worker.tick()
    world.provider.account_in_use = OTHERS
    world.clock.advance(world.until_due())
    told, waits = len(world.names()), []
    for _ in range(16):
        assert world.worker.advance()
        began = world.clock.monotonic()
        while world.worker.elsewhere.resting():
            world.clock.advance(20)
        waits.append(world.clock.monotonic() - began)
    assert waits[0] <= 60.0
    assert waits[4] > 200.0
    assert all(2_880.0 <= wait <= 3_620.0 for wait in waits[11:])
    assert len(world.names()) == told + 1
    assert world.until_due() <= 0


def test_who_has_the_wrong_key_holds_up_nobody_who_has_the_right_one(shared_world: World) -> None:
    world = shared_world
    theirs = Worker(msgspec.structs.replace(world.context(), provider=world.provider.session(OTHERS)))
    world.send(4)
    world.run(theirs, world.worker, seconds=40.0)
    assert world.statuses() == ["succeeded"] * 4
    told = [data for data in world.recorded(BatchPolled) if "another account" in (data.problem or "")]
    assert len(told) == 1


def test_the_right_key_clears_the_note_and_the_wrong_one_does_not_put_it_back(world: World) -> None:
    world.provider.batch_seconds = 10_000.0
    world.send()
    theirs = Worker(msgspec.structs.replace(world.context(), provider=world.provider.session(OTHERS)))
    for _ in range(40):
        world.clock.advance(1)
        theirs.tick()
        world.worker.tick()
    polled = [data.problem for data in world.recorded(BatchPolled)]
    assert [problem is None for problem in polled] == [False] + [True] * (len(polled) - 1)
    assert len(polled) > 5
    assert world.batch().note is None


def test_a_step_that_breaks_holds_up_no_other_batch(world: World, caplog: pytest.LogCaptureFixture) -> None:
    world.submit(8)
    world.plan()
    first, second = world.batches()
    world.provider.plan("newest_batch", *[Turn(refuse=BROKEN)] * 3)
    with caplog.at_level(logging.ERROR, "scheduler"):
        while world.worker.advance():
            pass
        assert [batch.status for batch in world.batches()] == ["planned", "planned"]
        assert world.worker.mishaps.errors == {first.id: BROKEN, second.id: BROKEN}
        assert leases_left(world) == 0
        world.clock.advance(9.9)
        assert not world.worker.advance()
        world.clock.advance(0.1)
        while world.worker.advance():
            pass
    assert [batch.status for batch in world.batches()] == ["planned", "in_progress"]
    assert world.worker.mishaps.errors == {first.id: BROKEN}
    # Two batches broke three times: each is said once, with where it happened.
    assert [record.getMessage() for record in caplog.records] == [
        f"{batch.id} failed; tried again every 10 s" for batch in (first, second)
    ]
    assert "nobody thought of this" in caplog.text
    assert "Traceback" in caplog.text
    world.run()
    assert world.worker.mishaps.errors == {}
    assert world.statuses() == ["succeeded"] * 8


def test_another_failure_of_the_same_batch_is_said_too(world: World, caplog: pytest.LogCaptureFixture) -> None:
    world.submit(4)
    world.plan()
    world.provider.plan("newest_batch", Turn(refuse=BROKEN), Turn(refuse=KeyError("else")))
    world.run()
    assert len([record for record in caplog.records if record.name == "scheduler.mishaps"]) == 2


def test_a_sender_that_breaks_leaves_its_intent_to_be_cleared_up(world: World) -> None:
    world.provider.plan("create", Turn(lose=BROKEN))
    world.submit(4)
    world.run()
    assert world.provider.calls["create"] == 1
    assert world.statuses() == ["succeeded"] * 4
    world.check()


def test_a_ledger_that_cannot_be_used_concerns_all(world: World) -> None:
    world.submit(4)
    world.plan()
    full = DatabaseUnusable("the disk is full")
    world.provider.plan("newest_batch", Turn(refuse=full))
    with pytest.raises(DatabaseUnusable):
        world.worker.advance()
    assert leases_left(world) == 0
    assert world.worker.mishaps.errors == {}
    world.run()
    assert world.statuses() == ["succeeded"] * 4


@pytest.mark.parametrize("days", [-40, -1 / 24, 40])
@pytest.mark.parametrize("events", [0, 4])
def test_the_wall_clock_jumps(world: World, days: float, events: int) -> None:
    """Wherever it happens, and though a worker died there with a lease in hand: all is done within the hour."""
    bodies = world.submit(6)
    world.provider.fates[bodies[0]].append("overloaded")
    for _ in range(events):
        world.worker.plan()
        world.worker.advance()
        world.clock.advance(2.5)
    for batch in world.batches():
        Leases(world.ledger, "gone", 15.0).acquire(batch.id)
    world.clock.jump(days * 86_400)
    # The provider's clock is its own.
    for held in world.provider.batches:
        held.created_at = held.ends_at = world.clock.now()
    world.run(seconds=3_700)
    assert world.provider.params_taken.total() == 7
    world.check()


def test_many_workers_share_a_ledger(shared_world: World) -> None:
    world = shared_world
    bodies = world.submit(24)
    for body in bodies[::7]:
        world.provider.fates[body].append("overloaded")
    world.provider.batch_seconds = 0.0
    moved = threading.Event()
    done = Counter[str]()

    def work(name: str) -> None:
        worker = Worker(world.context(), name)
        while not moved.is_set():
            done[name] += worker.tick()

    threads = [threading.Thread(target=work, args=(f"w{number}",)) for number in range(2)]
    for thread in threads:
        thread.start()
    for _ in range(2_000):
        if set(world.statuses()) == {"succeeded"}:
            break
        world.clock.advance(0.5)
    moved.set()
    for thread in threads:
        thread.join()
    world.run()
    assert world.statuses() == ["succeeded"] * 24
    assert world.provider.params_taken.total() == 24 + len(bodies[::7])
    world.check()


def test_no_capacity_for_new_batches_holds_up_no_batch_that_is_there(world: World) -> None:
    world.provider.batch_seconds = 15.0
    world.send(4)
    # More of them than are looked at once, and due before the one that is there.
    world.submit(72)
    world.plan()
    world.provider.plan("create", CapacityRefused("429", retry_after=500.0))
    while world.worker.advance():
        pass
    assert world.provider.calls["create"] == 2
    world.clock.advance(20)
    while world.worker.advance():
        pass
    assert world.statuses() == ["succeeded"] * 4 + ["batched"] * 72
    assert world.provider.calls["create"] == 2
    world.clock.advance(480)
    world.run()
    assert world.statuses() == ["succeeded"] * 76
    world.check()


def test_after_the_pause_one_batch_tries_it_for_all(world: World) -> None:
    world.submit(8)
    world.plan()
    world.provider.plan("create", CapacityRefused("429"), CapacityRefused("429"))
    assert world.worker.advance()
    assert not world.worker.advance()
    world.clock.advance(1)
    assert world.worker.advance()
    assert not world.worker.advance()
    assert world.provider.calls["create"] == 2


def test_what_could_not_be_read_keeps_nothing_from_being_sent(world: World) -> None:
    world.send(4)
    world.provider.plan("retrieve", ProviderRefused("404: not there", status=404, kind="not_found_error"))
    world.clock.advance(2)
    assert world.worker.advance()
    world.submit(4)
    world.worker.plan()
    assert world.worker.advance()
    assert world.provider.calls["create"] == 2


def test_what_the_budget_holds_back_rests_until_money_is_freed(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    held_back = {"for": True}

    def no_money(*_: object) -> bool:
        if held_back["for"]:
            raise ModelUnpriced(("new",))
        return True

    monkeypatch.setitem(worker_module._STEPS, Step.SUBMIT, no_money)
    world.submit(4)
    world.plan()
    batch = world.batch()
    assert world.worker.advance()
    assert not world.worker.advance()
    assert world.worker.held.errors.keys() == {batch.id}
    assert world.worker.health.error is None
    assert leases_left(world) == 0
    held_back["for"] = False
    world.worker.held.freed()
    assert world.worker.advance()
    assert world.worker.held.errors == {}


def test_an_audit_says_what_it_finds_once(world: World, caplog: pytest.LogCaptureFixture) -> None:
    world.send(2)
    world.run()
    world.provider.stranger(2)
    sent = world.provider.batches[0].items
    world.provider.hold(sent)  # as a proxy does that repeats a POST
    world.clock.advance(60)
    with caplog.at_level(logging.DEBUG, logger="scheduler.worker"):
        while world.worker.audit() == 0:
            pass
        assert world.worker.audit() == 0
    told = [record.levelname for record in caplog.records if record.message.startswith("audit: ")]
    assert sorted(told) == ["DEBUG", "WARNING"]
    world.run()
    assert [row.twin_of is not None for row in world.batches()] == [False, True]
    world.check()


def test_an_audit_that_nobody_answers_is_the_providers_failure(world: World) -> None:
    world.send(1)
    world.provider.plan("list_newer", ProviderUnreachable("no connection"))
    assert world.worker.audit() == 0
    assert str(world.worker.health.error) == "no connection"
    assert world.worker.audit() == 0  # rests
    assert world.provider.calls["list_newer"] == 1
