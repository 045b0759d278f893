"""The provider has the batch, and we do not know: whatever became of the answer, it is found again by proof.

Batches made of a POST whose answer was lost are adopted, not sent again; a stranger's are left alone; another
account's key changes nothing.
"""

from __future__ import annotations

from decimal import Decimal
from typing import Any

import pytest

from ledger.events import (
    BatchDuplicateDetected,
    BatchSubmissionReleased,
    BatchSubmissionStarted,
    BatchSubmissionUncertain,
    BatchSubmitted,
    CacheUsageRecorded,
)
from ledger.queries import batches
from scheduler.audit import audit
from tests.support.simulator_world import KEY, QUIET, SimulatedWorld, simulated_world

MANY = 50
SIZES = (1, 2, 3, 4, 5)
"""Ten lost batches of each of these sizes: enough of a kind to be taken for one another."""
SIZE = 2
PATIENCE = 0.1
"""How long a client waits that is left hanging. Real seconds."""


def lose(world: SimulatedWorld, times: int, **fault: Any) -> None:
    world.simulator.fault(endpoint="batches.create", times=times, **fault)


@pytest.mark.parametrize(
    ("fault", "timeout"),
    [
        ({"kind": "drop_after"}, 10.0),
        ({"kind": "status", "status": 500, "commit": True}, 10.0),
        ({"kind": "hang", "commit": True}, PATIENCE),
    ],
    ids=["dropped", "500", "hanging"],
)
def test_fifty_lost_answers_and_nothing_is_paid_twice(fault: dict[str, Any], timeout: float) -> None:
    with simulated_world(timeout=timeout) as world:
        lose(world, MANY, **fault)
        for number in range(MANY):
            world.plan(SIZES[number % len(SIZES)])
        world.run()

        assert world.statuses() == {"succeeded": sum(SIZES) * MANY // len(SIZES)}
        log = world.simulator.log()
        assert (log["creates_seen"], len(log["batches"]), log["duplicated_params"]) == (MANY, MANY, 0)
        assert [created["fault"] for created in log["creates"]] == [fault["kind"]] * MANY
        assert len(world.recorded(BatchSubmissionStarted)) == len(world.recorded(BatchSubmissionUncertain)) == MANY
        submitted = world.recorded(BatchSubmitted)
        assert all(one.adopted for one in submitted)
        assert sorted(one.provider_batch_id for one in submitted) == sorted(batch["id"] for batch in log["batches"])
        assert (world.recorded(BatchSubmissionReleased), world.recorded(BatchDuplicateDetected)) == ([], [])
        world.check()


@pytest.mark.parametrize(
    "fault",
    [
        {"kind": "status", "status": status, "commit": True}
        for status in (408, 409, 502, 503, 504)
    ]
    + [
        {"kind": "truncate"},
        {"kind": "truncate", "after_bytes": 100, "silent": True},
        *({"kind": "malformed", "body": body, "commit": True} for body in ("html", "empty", "half")),
    ],
    ids=lambda fault: "-".join(str(part) for part in fault.values() if part is not True),
)  # fmt: skip
def test_any_other_answer_that_tells_nothing(fault: dict[str, Any]) -> None:
    with simulated_world(size=SIZE) as world:
        world.submit(3 * SIZE)
        lose(world, 3, **fault)
        world.run()
        log = world.simulator.log()
        assert (world.statuses(), log["creates_seen"]) == ({"succeeded": 3 * SIZE}, 3)
        assert [one.adopted for one in world.recorded(BatchSubmitted)] == [True] * 3
        world.check()


@pytest.mark.parametrize("fault", [{"kind": "drop_before"}, {"kind": "reset_upload", "after_bytes": 50}])
def test_what_never_arrived_is_sent_again_and_only_then(fault: dict[str, Any]) -> None:
    with simulated_world(size=SIZE) as world:
        world.submit(3 * SIZE)
        lose(world, 3, **fault)
        world.turn()
        world.turn(QUIET - 2)
        assert world.simulator.log()["creates_seen"] == 3
        world.run()
        log = world.simulator.log()
        assert (log["creates_seen"], len(log["batches"]), log["duplicated_params"]) == (6, 3, 0)
        assert len(world.recorded(BatchSubmissionReleased)) == 3
        world.check()


def test_a_batch_that_appears_late_within_the_quiet_time_is_ours() -> None:
    with simulated_world(size=SIZE) as world:
        world.submit(SIZE)
        lose(world, 1, kind="late", delay_seconds=QUIET - 6)
        world.run()
        log = world.simulator.log()
        assert (log["creates_seen"], len(log["batches"])) == (1, 1)
        assert [one.adopted for one in world.recorded(BatchSubmitted)] == [True]
        world.check()


def test_a_listing_of_before_releases_nothing() -> None:
    with simulated_world(size=SIZE) as world:
        world.submit(SIZE)
        lose(world, 1, kind="drop_after")
        world.simulator.fault(endpoint="batches.list", kind="stale", delay_seconds=12, skip=1, times=2)
        world.run()
        assert (world.simulator.log()["creates_seen"], world.statuses()) == (1, {"succeeded": SIZE})
        world.check()


def foreign_one(world: SimulatedWorld, batch_id: str) -> dict[str, Any]:
    """The foreign batch as its owner sees it."""
    with world.client() as http:
        shown: dict[str, Any] = http.get(f"/v1/messages/batches/{batch_id}").raise_for_status().json()
    return shown


def billed_to(world: SimulatedWorld, batch_id: str) -> Decimal:
    return Decimal(world.simulator.bill()["batches"][batch_id]["total"])


@pytest.mark.parametrize("ours", ["drop_after", "drop_before"], ids=["ours-is-there-too", "ours-never-came"])
def test_a_foreign_batch_of_the_same_size_and_time_is_left_alone(ours: str) -> None:
    with simulated_world(size=SIZE, batch_seconds=60) as world:
        world.submit(2 * SIZE)
        lose(world, 2, kind=ours)
        world.turn()
        theirs = [world.post_foreign(SIZE), world.post_foreign(SIZE)]
        world.run()

        assert world.statuses() == {"succeeded": 2 * SIZE}
        known = {row.provider_batch_id for row in batches(world.ledger)}
        assert not known & set(theirs)
        log = world.simulator.log()
        assert log["calls"]["batches.cancel"] == log["calls"]["batches.delete"] == 0
        assert log["creates_seen"] == len(theirs) + (2 if ours == "drop_after" else 4)
        for one in theirs:
            shown = foreign_one(world, one)
            assert (shown["processing_status"], shown["cancel_initiated_at"]) == ("ended", None)
            assert shown["request_counts"]["succeeded"] == SIZE
        world.check(foreign=sum((billed_to(world, one) for one in theirs), Decimal(0)))


def test_with_another_accounts_key_nothing_is_released_or_sent() -> None:
    with simulated_world(size=SIZE) as world:
        world.submit(3 * SIZE)
        lose(world, 3, kind="drop_after")
        world.turn()
        assert {row.status for row in batches(world.ledger)} == {"uncertain"}

        world.restart("sk-of-another-account")
        for _ in range(5):
            world.turn(10 * QUIET)
        log = world.simulator.log()
        assert (log["creates_seen"], len(log["batches"])) == (3, 3)
        assert world.recorded(BatchSubmissionReleased) == world.recorded(BatchSubmitted) == []
        assert all("another account" in (row.note or "") for row in batches(world.ledger))

        world.restart(KEY)
        world.turn(3_600)
        world.run()
        assert (world.simulator.log()["creates_seen"], world.statuses()) == (3, {"succeeded": 3 * SIZE})
        assert [one.adopted for one in world.recorded(BatchSubmitted)] == [True] * 3
        world.check()


def test_what_is_new_goes_to_the_new_account_while_the_old_waits() -> None:
    with simulated_world(size=SIZE) as world:
        world.submit(SIZE)
        lose(world, 1, kind="drop_after")
        world.turn()
        world.restart("sk-of-another-account")
        world.submit(SIZE)
        for _ in range(6):
            world.turn()
        assert world.statuses() == {"succeeded": SIZE, "batched": SIZE}
        accounts = [batch["account"] for batch in world.simulator.log()["batches"]]
        assert accounts == [world.simulator.account(KEY), world.simulator.account("sk-of-another-account")]
        world.restart(KEY)
        world.turn(3_600)
        world.run()
        assert world.statuses() == {"succeeded": 2 * SIZE}
        world.check()


@pytest.mark.parametrize("silent", [False, True], ids=["answered", "lost"])
def test_a_proxy_that_repeats_the_post_is_found_out_and_costed(silent: bool) -> None:
    """Two batches of one POST: nobody here sent twice, the second is paid for all the same, and the ledger knows."""
    with simulated_world(size=SIZE) as world:
        world.submit(SIZE)
        lose(world, 1, kind="twice", silent=silent)
        world.run()
        (made,) = (created["batches"] for created in world.simulator.log()["creates"])
        assert_twin_is_costed(world)
        assert {row.provider_batch_id for row in batches(world.ledger)} == set(made)


def test_what_appears_after_it_was_given_up_is_found_out_and_costed() -> None:
    with simulated_world(size=SIZE) as world:
        world.submit(SIZE)
        lose(world, 1, kind="late", delay_seconds=5 * QUIET)
        world.run()
        assert len(world.recorded(BatchSubmissionReleased)) == 1
        world.pass_time(5 * QUIET)
        world.simulator.clear_faults()
        world.pass_time(QUIET)
        assert_twin_is_costed(world)


def assert_twin_is_costed(world: SimulatedWorld) -> None:
    audit(world.context)
    world.run()
    assert len(world.recorded(BatchDuplicateDetected)) == 1
    assert [row.twin_of is not None for row in batches(world.ledger)].count(True) == 1
    duplicates = [usage for usage in world.recorded(CacheUsageRecorded) if usage.role == "duplicate"]
    assert len(duplicates) == world.simulator.log()["duplicated_params"] == SIZE
    assert world.statuses() == {"succeeded": SIZE}
    world.check()
