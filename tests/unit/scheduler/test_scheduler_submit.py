"""A planned batch is sent: the intent before it, the outcome after, and nothing twice."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from datetime import timedelta
from typing import Any

import msgspec
import pytest
from sqlalchemy import Connection

from ledger.clock import to_micros
from ledger.errors import LedgerCorrupt, ProviderError, ProviderRefused, ProviderUnreachable
from ledger.events import (
    BatchDuplicateDetected,
    BatchFailed,
    BatchPlanned,
    BatchSubmissionRefused,
    BatchSubmissionStarted,
    BatchSubmissionUncertain,
    BatchSubmitted,
    RequestAbandoned,
)
from ledger.payloads import PayloadPurged, read_payloads
from scheduler.leases import Leases
from scheduler.providers.base import (
    Account,
    BatchTooLarge,
    CapacityRefused,
    InvalidBatch,
    SubmissionUncertain,
)
from scheduler.submit import submit
from tests.support.fake_provider import OURS, Turn
from tests.support.interrupted import Interrupted
from tests.support.world import World

REFUSED = ProviderRefused("401: wrong key", status=401, kind="authentication_error")
SILENT = ProviderUnreachable("no connection")
UNCERTAIN = SubmissionUncertain("no answer within 600 s")


def test_the_intent_is_on_record_before_anything_is_sent(world: World) -> None:
    world.provider.stranger(3)
    seen: list[tuple[list[str], str]] = []
    world.provider.plan("create", Turn(hook=lambda: seen.append((world.names(), world.batch().status))))
    world.send(2)
    assert seen == [(["batch.planned", "batch.submission_started"], "submitting")]
    (intent,) = world.recorded(BatchSubmissionStarted)
    assert intent.newest_before == "msgbatch_0000"
    assert intent.deadline == world.clock.now() + timedelta(seconds=15)
    assert msgspec.json.decode(intent.account, type=Account) == OURS


def test_the_intent_notes_the_newest_batch_and_when_it_was_made(world: World) -> None:
    world.provider.stranger(1)
    world.clock.advance(100)
    newest = world.provider.stranger(1)
    world.clock.advance(100)
    world.send(2)
    (intent,) = world.recorded(BatchSubmissionStarted)
    assert (intent.newest_before, intent.noted_at) == (newest.id, newest.created_at)


def test_a_batch_that_became_another_one_on_its_way_is_recorded_as_it_is(world: World) -> None:
    world.provider.plan("create", Turn(restate=lambda status: msgspec.structs.replace(status, processing=1)))
    world.send(2)
    assert world.batch().status == "in_progress"
    assert world.batch().provider_batch_id == "msgbatch_0000"


def test_what_is_sent_is_what_was_given_under_ids_of_the_intent(world: World) -> None:
    bodies = world.send(3, betas=["b", "a"], version="2023-06-01", text="x\u00e9" * 2_000)
    (intent,) = world.recorded(BatchSubmissionStarted)
    (sent,) = world.provider.batches
    assert [item.custom_id for item in sent.items] == [f"{intent.nonce}-{index}" for index in range(3)]
    assert [json.loads(item.params) for item in sent.items] == [
        {name: value for name, value in json.loads(body).items() if name != "betas"} for body in bodies
    ]
    assert (sent.api_version, sent.betas) == ("2023-06-01", ("a", "b"))


def test_params_are_sent_byte_for_byte(world: World) -> None:
    bodies = [b'{ "z":1e2, "max_tokens" : 16,"a":"\\u00e9" }', b'{"max_tokens":16,"big":%d}' % 10**30]
    world.record(bodies)
    world.plan()
    world.worker.tick()
    assert [item.params for item in world.provider.batches[0].items] == bodies


def test_a_large_batch_is_read_in_pages(new_world: Callable[..., World]) -> None:
    world = new_world(max_requests=1_000)
    bodies = world.send(1_000)
    assert [item.params for item in world.provider.batches[0].items] == bodies


def test_large_bodies_are_read_a_few_at_a_time(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    read: list[int] = []

    def counted(connection: Connection, digests: Sequence[bytes]) -> dict[bytes, bytes]:
        read.append(len(digests))
        return read_payloads(connection, digests)

    monkeypatch.setattr("scheduler.pages.PAGE_BYTES", 1_000)
    monkeypatch.setattr("scheduler.submit.read_payloads", counted)
    bodies = world.send(4, text="x" * 400)
    assert [item.params for item in world.provider.batches[0].items] == bodies
    assert read == [3, 1]


@pytest.mark.parametrize("damage", ["DELETE FROM payloads", "UPDATE payloads SET content = hash"])
def test_a_body_that_cannot_be_read_sends_nothing_and_is_said(world: World, damage: str) -> None:
    world.submit(2)
    world.plan()
    with world.ledger.database.write() as connection:
        connection.exec_driver_sql(damage)
    world.worker.advance()
    (mishap,) = world.worker.mishaps.errors.values()
    assert isinstance(mishap, PayloadPurged | LedgerCorrupt)
    assert [data.reason for data in world.recorded(BatchSubmissionRefused)] == [str(mishap)]
    assert world.batch().status == "planned"
    for _ in range(30):
        world.clock.advance(10)
        world.worker.tick()
    assert world.recorded(BatchSubmissionUncertain) == []
    assert world.provider.batches == []


def test_the_answer_is_recorded(world: World) -> None:
    world.send()
    (intent,), (data,) = world.recorded(BatchSubmissionStarted), world.recorded(BatchSubmitted)
    assert (data.provider_batch_id, data.nonce, data.adopted) == ("msgbatch_0000", intent.nonce, False)
    assert data.created_at == world.clock.now()
    assert timedelta(seconds=0.8) <= data.next_poll_at - world.clock.now() <= timedelta(seconds=1)
    assert world.batch().status == "in_progress"
    assert world.names("lease") == []


@pytest.mark.parametrize("call", ["newest_batch", "create"])
@pytest.mark.parametrize("error", [REFUSED, SILENT])
def test_a_refused_credential_or_a_silent_provider_keeps_everything(
    world: World, call: str, error: ProviderError
) -> None:
    world.submit(2)
    world.provider.plan(call, error)
    world.plan()
    assert world.worker.advance()
    (data,) = world.recorded(BatchSubmissionRefused)
    assert data.reason == str(error)
    assert data.due_at > world.clock.now()
    assert world.batch().status == "planned"
    assert world.statuses() == ["batched"] * 2
    assert world.worker.health.error is error
    world.run()
    assert world.statuses() == ["succeeded"] * 2
    world.check()


def test_no_connection_means_that_nothing_was_asked_before_the_send(world: World) -> None:
    world.provider.plan("newest_batch", SILENT)
    world.send()
    assert world.recorded(BatchSubmissionStarted) == []
    assert world.provider.calls["create"] == 0


def test_a_provider_that_never_answers_is_asked_less_and_less_often(world: World) -> None:
    world.provider.plan("newest_batch", *[SILENT] * 10)
    world.submit()
    world.run()
    log = [event for event in world.ledger.events() if isinstance(event.data, BatchSubmissionRefused)]
    delays = [(event.data.due_at - event.occurred_at).total_seconds() for event in log]  # type: ignore[attr-defined]
    assert delays[0] <= 1.0 < delays[2] < delays[4]
    assert all(6.4 <= delay <= 8.0 for delay in delays[-2:])


def test_a_full_provider_is_asked_again_and_no_attempt_is_lost(world: World) -> None:
    world.provider.plan("create", *[CapacityRefused("429: slow down")] * 6)
    world.submit()
    world.run()
    refusals = world.recorded(BatchSubmissionRefused)
    assert [refusal.reason for refusal in refusals] == ["429: slow down"] * 6
    (row,) = world.requests()
    assert (row.status, row.attempts) == ("succeeded", 1)
    assert world.provider.params_taken.total() == 1
    world.check()


def test_a_full_provider_counts_as_one_that_does_not_answer(world: World) -> None:
    """So that whoever waits for a spend cap to be lifted can give up after a while."""
    world.provider.plan("create", *[CapacityRefused("429: spend cap")] * 3)
    world.send()
    assert isinstance(world.worker.health.error, ProviderUnreachable)
    assert not world.worker.health.refused
    world.clock.advance(1.5)
    world.worker.tick()
    assert world.worker.health.failing_for() == 1.5
    world.run()
    assert world.worker.health.error is None


def test_a_full_provider_may_say_when(world: World) -> None:
    world.provider.plan("create", CapacityRefused("429", retry_after=77.0))
    world.send()
    assert world.batch().due_at == to_micros(world.clock.now() + timedelta(seconds=77))
    world.clock.advance(76.9)
    world.worker.tick()
    assert world.provider.calls["create"] == 1
    world.clock.advance(0.2)
    world.worker.tick()
    assert world.provider.calls["create"] == 2


def test_refusals_grow_apart(world: World) -> None:
    world.provider.plan("create", *[CapacityRefused("429")] * 8)
    world.submit()
    world.run()
    log = [event for event in world.ledger.events() if isinstance(event.data, BatchSubmissionRefused)]
    delays = [(event.data.due_at - event.occurred_at).total_seconds() for event in log]  # type: ignore[attr-defined]
    assert delays[0] <= 1.0 < delays[2] < delays[4]
    assert all(0.8 <= delay <= 8.0 for delay in delays)
    assert delays[-1] >= 6.4


@pytest.mark.parametrize("status", [413, 400])
def test_a_batch_refused_for_one_item_is_halved_until_the_culprit_stands_alone(
    new_world: Callable[..., World], status: int
) -> None:
    world = new_world(max_requests=13)
    bodies = world.submit(12)
    if status == 413:
        culprit = world.submit(1, text="x" * 5_000)[0]
        world.provider.most_bytes = 4_000
    else:
        culprit = world.submit(1)[0]
        world.provider.poison = {culprit}
    world.run()
    assert world.statuses() == ["succeeded"] * 12 + ["abandoned"]
    (abandoned,) = world.recorded(RequestAbandoned)
    assert str(status) in abandoned.reason
    assert {world.provider.params_taken[body] for body in bodies} == {1}
    assert world.provider.params_taken[culprit] == 0
    assert world.provider.calls["create"] <= 1 + 2 * 4  # two for each of log2(13) halvings
    assert [row.attempts for row in world.requests()] == [1] * 13
    assert [row.error_message for row in world.requests()][12] == abandoned.reason
    world.check()


def test_halves_keep_the_order_and_name_their_parent(world: World) -> None:
    bodies = world.submit(3)
    world.provider.plan("create", BatchTooLarge("413"))
    world.plan()
    world.worker.tick()
    first, *halves = world.batches()
    assert (first.status, first.due_at) == ("failed", None)
    assert [batch.request_count for batch in halves] == [1, 2]
    plans = world.recorded(BatchPlanned)
    assert [(plan.reason, plan.parent) for plan in plans[1:]] == [("split", first.id)] * 2
    assert [[item.params for item in held.items] for held in world.provider.batches] == [bodies[:1], bodies[1:]]


def test_several_culprits_are_all_found(new_world: Callable[..., World]) -> None:
    world = new_world(max_requests=8)
    bodies = world.submit(8)
    world.provider.poison = {bodies[0], bodies[3], bodies[7]}
    world.run()
    expected = ["abandoned" if body in world.provider.poison else "succeeded" for body in bodies]
    assert world.statuses() == expected
    world.check()


def test_a_batch_refused_whole_for_no_reason_of_its_items_ends_too(world: World) -> None:
    world.submit(4)
    world.provider.poison = set(world.provider.params_taken)
    world.provider.plan("create", *[InvalidBatch("400: no")] * 7)
    world.run()
    assert world.statuses() == ["abandoned"] * 4
    assert len(world.recorded(BatchFailed)) == 7


def test_an_attempt_of_unknown_outcome_is_recorded_as_that(world: World) -> None:
    world.provider.plan("create", UNCERTAIN)
    world.send()
    (data,) = world.recorded(BatchSubmissionUncertain)
    assert data.reason == "no answer within 600 s"
    assert world.batch().status == "uncertain"


def test_nothing_is_sent_under_a_lease_that_has_ended(world: World) -> None:
    world.provider.plan("create", Turn(hook=lambda: world.clock.advance(15)))
    world.send()
    assert world.provider.batches == []
    (data,) = world.recorded(BatchSubmissionRefused)
    assert "lease" in data.reason
    world.run()
    assert world.statuses() == ["succeeded"]
    assert world.provider.params_taken.total() == 1


def test_nothing_is_sent_once_somebody_else_has_the_lease(world: World) -> None:
    other = Leases(world.ledger, "other", 15.0)

    def lose() -> None:
        world.clock.advance(16)
        assert other.acquire(world.batch().id) is not None

    world.provider.plan("create", Turn(hook=lose))
    world.send()
    assert world.provider.batches == []
    assert world.names()[-1] == "batch.submission_started"


def test_the_answer_counts_though_the_lease_is_another_workers(world: World) -> None:
    other = Leases(world.ledger, "other", 15.0)

    def lose() -> None:
        world.clock.advance(16)
        assert other.acquire(world.batch().id) is not None

    world.provider.plan("create", Turn(late=lose))
    world.send()
    (data,) = world.recorded(BatchSubmitted)
    assert (data.provider_batch_id, data.adopted) == ("msgbatch_0000", False)
    assert world.batch().status == "in_progress"


def test_the_answer_counts_though_somebody_began_to_look_for_the_batch(world: World) -> None:
    other = world.another_worker()

    def suspect() -> None:
        world.clock.advance(16)
        assert other.advance()
        assert world.batch().status == "uncertain"

    world.provider.plan("create", Turn(late=suspect))
    world.send()
    assert world.batch().status == "in_progress"
    assert world.recorded(BatchDuplicateDetected) == []


def test_the_answer_is_no_news_once_the_batch_was_adopted(world: World) -> None:
    other = world.another_worker()

    def adopt() -> None:
        world.clock.advance(16)
        while other.advance():
            world.clock.advance(3)
            if world.recorded(BatchSubmitted):
                return

    world.provider.plan("create", Turn(late=adopt))
    world.send()
    assert [data.adopted for data in world.recorded(BatchSubmitted)] == [True]
    assert world.recorded(BatchDuplicateDetected) == []


def test_the_answer_counts_though_the_batch_was_given_up_meanwhile(world: World) -> None:
    other = world.another_worker()

    def give_up() -> None:
        world.provider.visible_after = 1_000.0
        world.clock.advance(16)
        while world.batch().status != "planned":
            other.advance()
            world.clock.advance(3)
        world.provider.visible_after = 0.0

    world.provider.plan("create", Turn(late=give_up))
    world.send()
    (data,) = world.recorded(BatchSubmitted)
    assert (data.provider_batch_id, data.adopted) == ("msgbatch_0000", False)
    world.run(other)
    assert world.provider.calls["create"] == 1
    assert world.provider.calls["cancel"] == 0
    world.check()


def release_and_resend(world: World) -> Callable[[], None]:
    """Another worker finds nothing, waits its time, and sends the batch anew."""
    other = world.another_worker()

    def act() -> None:
        world.provider.visible_after = 1_000.0
        world.clock.advance(16)
        while len(world.provider.batches) < 2:
            other.advance()
            world.clock.advance(3)
        world.provider.visible_after = 0.0

    return act


def test_a_twin_is_recorded_and_canceled(world: World) -> None:
    world.provider.batch_seconds = 100.0
    world.provider.plan("create", Turn(late=release_and_resend(world)))
    world.send()
    (twin,) = world.recorded(BatchDuplicateDetected)
    batch, second = world.batches()
    assert (twin.provider_batch_id, twin.twin_id) == ("msgbatch_0000", second.id)
    assert json.loads(batch.nonces) == [twin.nonce, batch.nonce]
    assert batch.provider_batch_id == "msgbatch_0001"
    assert (second.twin_of, second.nonce, second.status) == (batch.id, twin.nonce, "canceling")
    assert [held.canceled for held in world.provider.batches] == [True, False]
    world.run()
    assert world.statuses() == ["succeeded"]
    world.check()


def test_a_twin_that_cannot_be_canceled_is_still_recorded(world: World, caplog: pytest.LogCaptureFixture) -> None:
    world.provider.batch_seconds = 100.0
    world.provider.plan("cancel", REFUSED)
    world.provider.plan("create", Turn(late=release_and_resend(world)))
    world.send()
    assert len(world.recorded(BatchDuplicateDetected)) == 1
    assert "twin msgbatch_0000 not canceled: 401: wrong key" in caplog.text


def test_a_twin_is_recorded_even_if_the_batch_changes_in_that_moment(world: World) -> None:
    world.provider.batch_seconds = 100.0
    world.submit()
    world.plan()
    batch = world.batch()
    lease = Leases(world.ledger, "first", 15.0).acquire(batch.id)
    assert lease is not None

    def poll() -> None:
        world.clock.advance(600)
        assert world.another_worker().advance()

    other = release_and_resend(world)
    world.provider.plan("create", Turn(late=other))
    # Uses of `append`: the intent, the answer, the twin.
    ledger: Any = Interrupted(world.ledger, "append", poll, skip=2)
    submit(world.context(ledger), batch, lease)
    assert ledger.happened
    assert [twin.provider_batch_id for twin in world.recorded(BatchDuplicateDetected)] == ["msgbatch_0000"]
    assert world.provider.calls["cancel"] == 1


def test_a_sender_that_is_gone_is_left_its_time(world: World) -> None:
    world.provider.plan("create", Turn(hook=lambda: (_ for _ in ()).throw(KeyboardInterrupt)))
    world.submit()
    world.plan()
    with pytest.raises(KeyboardInterrupt):
        world.worker.advance()
    assert world.batch().status == "submitting"
    world.clock.advance(14.9)
    assert not world.another_worker().advance()
    assert world.batch().status == "submitting"
    world.clock.advance(0.1)
    assert world.another_worker().advance()
    assert world.batch().status == "uncertain"
    assert [data.reason for data in world.recorded(BatchSubmissionUncertain)] == ["its sender ended while sending"]
    world.run()
    assert world.statuses() == ["succeeded"]
    assert world.provider.params_taken.total() == 1
    world.check()
