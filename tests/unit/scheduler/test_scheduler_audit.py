"""The provider's batches against the ledger's, both ways, and what is done about each difference."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest

from ledger.errors import ProviderRefused, ProviderUnreachable
from ledger.events import BatchDuplicateDetected, BatchPlanned, BatchSubmissionReleased, BatchSubmitted
from ledger.verify import verify
from scheduler.account import account_of
from scheduler.audit import AuditReport, Finding, audit
from scheduler.context import Context
from scheduler.providers.base import BatchStatus, ItemResult, ResultsUnavailable, SubmissionUncertain
from tests.support.fake_provider import OTHERS, OURS, HeldBatch, Turn
from tests.support.interrupted import Interrupted
from tests.support.world import World

LOST = SubmissionUncertain("no answer within 600 s")


def verdicts(report: AuditReport) -> list[tuple[str, str]]:
    return [(entry.provider_batch_id[-1], entry.verdict) for entry in report.entries]


def ended(world: World, seconds: float = 60.0) -> Context:
    world.clock.advance(seconds)
    return world.context()


def given_up(world: World) -> HeldBatch:
    """One batch of two requests that is sent again while its first submission has yet to become visible."""
    world.provider.plan("create", Turn(commit_after=40.0, refuse=LOST))
    world.send(2)
    while not world.recorded(BatchSubmitted):
        world.clock.advance(1)
        world.worker.tick()
    assert len(world.recorded(BatchSubmissionReleased)) == 1
    world.clock.advance(20)
    world.provider.settle()
    late = world.provider.batches[-1]
    assert late.id != world.batch().provider_batch_id
    return late


def test_a_ledger_without_submissions_asks_nobody(world: World) -> None:
    world.provider.stranger(2)
    assert audit(world.context()).entries == ()
    assert world.provider.calls.total() == 0


def test_what_is_the_same_on_both_sides_is_matched(world: World) -> None:
    world.submit(10)
    world.run()
    before = len(world.names())
    report = audit(world.context())
    assert verdicts(report) == [("2", "matched"), ("1", "matched"), ("0", "matched")]
    assert (report.matched, report.findings) == (3, ())
    assert {(entry.items, entry.expected) for entry in report.entries} == {(4, 4), (2, 2)}
    assert world.provider.calls["results"] == 3
    assert len(world.names()) == before


def test_strangers_are_left_alone_and_read_twice(world: World) -> None:
    world.send(2)
    world.provider.stranger(2)
    world.provider.stranger(3)
    context = ended(world)
    for _ in range(3):
        assert verdicts(audit(context)) == [("2", "stranger"), ("1", "stranger"), ("0", "matched")]
        world.clock.advance(10)
    assert world.provider.calls["results"] == 2
    assert world.provider.calls["cancel"] == 0
    assert world.recorded(BatchDuplicateDetected) == []


def test_a_batch_that_still_runs_is_not_told(world: World) -> None:
    world.provider.batch_seconds = 600.0
    world.send(2)
    theirs = world.provider.stranger(2)
    assert verdicts(audit(world.context())) == [("1", "undecided"), ("0", "matched")]
    assert world.provider.calls["results"] == 0
    theirs.ends_at = world.clock.now()
    assert verdicts(audit(ended(world))) == [("1", "stranger"), ("0", "matched")]


def test_a_candidate_is_left_to_the_look_for_its_batch(world: World) -> None:
    world.provider.batch_seconds = 600.0
    world.provider.plan("create", Turn(lose=LOST))
    world.send(2)
    (entry,) = audit(world.context()).entries
    assert (entry.verdict, entry.batch_id, entry.expected) == ("candidate", world.batch().id, 2)
    assert world.batch().status == "uncertain"


def test_a_batch_that_was_looked_for_is_adopted_on_proof(world: World) -> None:
    world.provider.plan("create", Turn(lose=LOST))
    world.send(2)
    world.provider.stranger(2)
    context = ended(world)
    assert verdicts(audit(context)) == [("1", "stranger"), ("0", "adopted")]
    assert [data.adopted for data in world.recorded(BatchSubmitted)] == [True]
    assert verdicts(audit(context)) == [("1", "stranger"), ("0", "matched")]
    world.run()
    assert world.provider.calls["create"] == 1
    world.check()


def test_a_batch_that_was_given_up_but_not_sent_again_is_adopted(world: World) -> None:
    world.provider.visible_after = 1_000.0
    world.provider.plan("create", Turn(lose=LOST))
    world.send(2)
    world.provider.plan("newest_batch", *[ProviderUnreachable("no connection")] * 100)
    while world.batch().status == "uncertain":
        world.clock.advance(1)
        world.worker.advance()
    world.provider.visible_after = 0.0
    assert world.batch().status == "planned"
    assert verdicts(audit(ended(world))) == [("0", "adopted")]
    world.provider._turns.clear()
    world.run()
    assert world.provider.calls["create"] == 1
    world.check()


def test_what_comes_late_is_a_twin_whose_cost_is_recorded(world: World) -> None:
    late = given_up(world)
    report = audit(ended(world))
    first, twin = world.batches()
    assert report.matched == 1
    (entry,) = report.findings
    assert (entry.verdict, entry.provider_batch_id, entry.batch_id) == ("twin", late.id, first.id)
    assert twin.id in entry.done
    (duplicate,) = world.recorded(BatchDuplicateDetected)
    assert (duplicate.provider_batch_id, duplicate.twin_id) == (late.id, twin.id)
    assert duplicate.nonce == msgspec.json.decode(first.nonces)[0] != first.nonce
    assert world.provider.calls["cancel"] == 0
    world.run()
    assert [batch.status for batch in world.batches()] == ["collected"] * 2
    assert world.statuses() == ["succeeded"] * 2
    assert audit(world.context()).findings == ()
    world.check()


def test_what_comes_late_under_the_account_before_is_found_with_its_key(world: World) -> None:
    world.provider.plan("create", Turn(commit_after=1_000.0, refuse=LOST))
    world.send(2)
    while world.batch().status == "uncertain":
        world.clock.advance(1)
        world.worker.advance()
    world.provider.account_in_use = OTHERS
    world.run()
    assert account_of(world.batch()) == OTHERS
    world.clock.advance(1_000)
    assert verdicts(audit(ended(world))) == [("0", "matched")]
    world.provider.account_in_use = OURS
    assert verdicts(audit(ended(world))) == [("1", "twin")]
    first, twin = world.batches()
    assert (twin.twin_of, account_of(twin)) == (first.id, OURS)
    world.run()
    assert [batch.status for batch in world.batches()] == ["collected"] * 2
    world.check()


def test_a_foreign_file_read_once_hides_no_twin(world: World) -> None:
    world.provider.plan("create", Turn(copies=2))
    world.send(1)
    context = ended(world)

    def foreign(lines: list[ItemResult]) -> list[ItemResult | Exception]:
        return [msgspec.structs.replace(lines[0], custom_id="somebody-0")]

    world.provider.plan("results", Turn(mangle=foreign))
    assert verdicts(audit(context)) == [("1", "matched"), ("0", "stranger")]
    world.clock.advance(10)
    assert verdicts(audit(context)) == [("1", "matched"), ("0", "twin")]


def test_a_post_that_was_doubled_is_found(world: World) -> None:
    world.provider.plan("create", Turn(copies=2))
    world.send(2)
    context = ended(world)
    (entry,) = audit(context).findings
    assert entry.verdict == "twin"
    assert audit(context).findings == ()
    first, twin = world.batches()
    assert (twin.twin_of, twin.nonce) == (first.id, first.nonce)
    assert world.recorded(BatchPlanned)[1].reason == "twin"
    world.run()
    assert verify(world.ledger.database).problems == ()


def test_two_audits_at_once_make_one_twin(world: World) -> None:
    given_up(world)
    world.clock.advance(60)
    ledger: Any = Interrupted(world.ledger, "append", lambda: audit(world.context()))
    (entry,) = audit(world.context(ledger)).findings
    assert ledger.happened
    assert entry.verdict == "twin"
    assert len(world.recorded(BatchDuplicateDetected)) == 1
    assert len(world.batches()) == 2


def test_two_audits_at_once_adopt_once(world: World) -> None:
    world.provider.plan("create", Turn(lose=LOST))
    world.send(2)
    world.clock.advance(60)
    ledger: Any = Interrupted(world.ledger, "append", lambda: audit(world.context()))
    audit(world.context(ledger))
    assert ledger.happened
    assert len(world.recorded(BatchSubmitted)) == 1
    assert world.recorded(BatchDuplicateDetected) == []


def test_a_mangled_post_differs(world: World) -> None:
    world.provider.plan("create", Turn(restate=lambda status: msgspec.structs.replace(status, processing=1)))
    world.send(2)
    assert world.batch().status == "in_progress"
    world.provider.batches[0].items.pop()
    (entry,) = audit(world.context()).findings
    assert (entry.verdict, entry.items, entry.expected) == ("differs", 1, 2)
    assert entry.done == "the provider counts 1 items, 2 were sent"


def test_counts_that_changed_after_the_end_differ(world: World) -> None:
    world.submit(2)
    world.run()

    def other(status: BatchStatus) -> BatchStatus:
        return msgspec.structs.replace(status, succeeded=1, errored=1)

    listed = [other(status) for status in world.provider.list_newer(None)]
    world.provider.list_newer = lambda than: iter(listed)  # type: ignore[method-assign]
    (entry,) = audit(world.context()).findings
    assert (entry.verdict, entry.done) == ("differs", "when it ended the provider counted 2 succeeded")


@pytest.mark.parametrize("collected", [True, False])
def test_what_the_provider_lacks_is_missing_unless_it_is_too_new_or_too_old(world: World, collected: bool) -> None:
    world.provider.batch_seconds = 10.0 if collected else 10_000_000.0
    world.send(2)
    if collected:
        world.run()
    world.provider.batches[0].deleted = True
    assert audit(world.context()).entries == () or collected
    world.clock.advance(20)
    (entry,) = audit(world.context()).entries
    assert (entry.verdict, entry.items, entry.expected) == ("missing", None, 2)
    assert entry.done.startswith("its results are here" if collected else "its results are asked for")
    world.clock.advance(29 * 86_400)
    assert audit(world.context()).entries == ()


def test_what_another_account_has_is_not_missing(world: World) -> None:
    for account in (OTHERS, OURS):
        world.provider.account_in_use = account
        world.submit(2)
        world.run()
    world.provider.account_in_use = OTHERS
    assert verdicts(audit(ended(world))) == [("0", "matched")]


def test_only_what_may_concern_this_ledger_is_looked_at(world: World) -> None:
    for _ in range(3):
        world.provider.stranger(2)
        world.clock.advance(100)
    world.submit(2)
    world.run()
    assert verdicts(audit(world.context())) == [("3", "matched"), ("2", "stranger")]
    world.clock.advance(31 * 86_400)
    assert audit(world.context()).entries == ()


def test_without_a_providers_time_the_last_thirty_days_are_looked_at(world: World) -> None:
    world.provider.provider_time = lambda: None  # type: ignore[method-assign]
    world.provider.stranger(2)
    world.clock.advance(100)
    world.submit(2)
    world.run()
    assert verdicts(audit(world.context())) == [("1", "matched"), ("0", "stranger")]
    world.clock.advance(31 * 86_400)
    assert audit(world.context()).entries == ()


@pytest.mark.parametrize(
    "error", [ResultsUnavailable("gone"), ProviderRefused("500", status=500, kind="api_error")], ids=["gone", "500"]
)
def test_what_cannot_be_read_stays_undecided_and_is_read_again(world: World, error: Exception) -> None:
    world.send(2)
    world.provider.stranger(2)
    context = ended(world)
    world.provider.plan("results", error)
    assert verdicts(audit(context)) == [("1", "undecided"), ("0", "matched")]
    assert verdicts(audit(context)) == [("1", "stranger"), ("0", "matched")]


def test_a_silent_provider_ends_the_audit(world: World) -> None:
    world.send(2)
    world.provider.plan("list_newer", ProviderUnreachable("no connection"))
    with pytest.raises(ProviderUnreachable):
        audit(world.context())


def test_an_audit_may_be_told_how_much_to_read(world: World) -> None:
    world.send(2)
    for _ in range(5):
        world.provider.stranger(2)
    context = ended(world)
    told = []
    for _ in range(6):
        told.append([entry.verdict for entry in audit(context, most_readings=2).findings].count("stranger"))
        world.clock.advance(10)
    assert told == [2, 2, 4, 4, 5, 5]
    assert world.provider.calls["results"] == 10


def test_what_is_submitted_during_an_audit_is_known(world: World) -> None:
    world.send(2)
    world.submit(2)
    world.plan()
    world.provider.plan("list_newer", Turn(hook=lambda: world.worker.tick()))
    assert audit(world.context()).findings == ()


def test_a_sender_that_may_still_be_told_is_left_alone(world: World) -> None:
    world.provider.batch_seconds = 0.0
    context = world.context()
    reports: list[AuditReport] = []
    world.provider.plan("create", Turn(late=lambda: reports.append(audit(context))))
    world.send(2)
    ((entry,),) = [report.entries for report in reports]
    assert (entry.verdict, entry.batch_id) == ("candidate", world.batch().id)
    assert [data.adopted for data in world.recorded(BatchSubmitted)] == [False]
    assert audit(context).findings == ()


def test_findings_can_be_written_as_json(world: World) -> None:
    world.send(2)
    world.provider.stranger(2)
    report = audit(ended(world))
    assert msgspec.json.decode(msgspec.json.encode(report.entries), type=tuple[Finding, ...]) == report.entries


def test_on_a_shared_database(shared_world: World) -> None:
    given_up(shared_world)
    assert [entry.verdict for entry in audit(ended(shared_world)).findings] == ["twin"]
    shared_world.run()
    assert audit(shared_world.context()).findings == ()
    shared_world.check()
