"""Each endpoint goes wrong in each of the ways there are, and all is made good within a bounded number of calls.

What an error leaves behind, what a malformed line says, which lines there are and whether counts add up: in the end
each request has one outcome, and the cost is the bill.
"""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial
from typing import Any

import pytest

from ledger.errors import ProviderError, ProviderRefused, ProviderUnreachable
from ledger.events import BatchPolled, BatchResultsCollected, BatchSubmitted, RequestCostUnknown
from ledger.queries import batches, outstanding
from ledger.verify import verify
from scheduler.audit import audit
from scheduler.providers.anthropic import client
from scheduler.providers.anthropic.results import split_lines
from scheduler.providers.base import ResultsUnavailable
from tests.support.simulator_world import QUIET, SimulatedWorld, simulated_world

SIZE = 3
TIMES = 2
ASKED = ("batches.create", "batches.list", "batches.retrieve", "batches.results")
"""The endpoints that a batch's life goes through. Cancel is by hand, and we delete nothing."""

PATIENCE = 0.3

FAULTS: dict[str, dict[str, Any]] = {
    **{str(status): {"kind": "status", "status": status} for status in (408, 409, 500, 504, 529)},
    "413": {"kind": "status", "status": 413},
    "429": {"kind": "status", "status": 429},
    "429 with retry-after": {"kind": "status", "status": 429, "retry_after": 7},
    "timeout": {"kind": "hang"},
    "dropped": {"kind": "drop_before"},
    "answer dropped": {"kind": "drop_after"},
    "head only": {"kind": "truncate"},
    "reset": {"kind": "reset_upload"},
    "slow": {"kind": "slow", "piece_bytes": 300, "delay_seconds": 0.001},
    "delayed": {"kind": "delay", "delay_seconds": 0.02},
    "html": {"kind": "malformed", "commit": True},
    "empty": {"kind": "malformed", "body": "empty", "commit": True},
    "half": {"kind": "malformed", "body": "half"},
    "cut in silence": {"kind": "truncate", "after_bytes": 150, "silent": True},
}


@pytest.fixture
def world() -> Iterator[SimulatedWorld]:
    with simulated_world(size=SIZE) as world:
        yield world


@pytest.mark.parametrize("name", FAULTS)
def test_every_endpoint_goes_wrong_twice_and_all_is_made_good(name: str) -> None:
    with simulated_world(size=SIZE, timeout=PATIENCE if name == "timeout" else 10.0) as world:
        world.submit(SIZE)
        for endpoint in ASKED:
            # A batch that is too large is halved, a single request that is too large given up.
            times = 1 if (name, endpoint) == ("413", "batches.create") else TIMES
            world.simulator.fault(endpoint=endpoint, times=times, **FAULTS[name])
        world.run()
        assert world.statuses() == {"succeeded": SIZE}
        log = world.simulator.log()
        assert log["duplicated_params"] == 0
        assert log["creates_seen"] <= 1 + TIMES
        assert all(log["calls"][endpoint] <= 25 for endpoint in ASKED)
        assert len(log["faults"]) >= len(ASKED)
        assert world.worker.health.error is None
        world.check()


@pytest.mark.parametrize("name", FAULTS)
def test_a_cancel_that_goes_wrong_says_so_and_is_not_repeated(name: str) -> None:
    with simulated_world(timeout=PATIENCE if name == "timeout" else 10.0) as world:
        batch_id = world.post_foreign(SIZE)
        world.simulator.fault(endpoint="batches.cancel", **FAULTS[name])
        if name in ("slow", "delayed"):
            assert world.provider.cancel(batch_id).id == batch_id
        else:
            with pytest.raises(ProviderRefused if name == "413" else ProviderUnreachable):
                world.provider.cancel(batch_id)
        assert world.simulator.log()["calls"]["batches.cancel"] == 1


@pytest.mark.parametrize("told", [7.0, 300.0])
def test_what_retry_after_says_is_waited_for(world: SimulatedWorld, told: float) -> None:
    world.submit(SIZE)
    world.simulator.fault(endpoint="batches.create", kind="status", status=429, retry_after=told)
    world.turn()
    world.turn(told - 1)
    assert world.simulator.log()["creates_seen"] == 1
    world.run(turns=20)
    assert (world.simulator.log()["creates_seen"], world.statuses()) == (2, {"succeeded": SIZE})
    world.check()


def test_while_the_provider_is_down_it_is_asked_more_and_more_rarely(world: SimulatedWorld) -> None:
    world.submit(5 * SIZE)
    for endpoint in ASKED:
        world.simulator.fault(endpoint=endpoint, kind="status", status=500, times=1_000)
    for _ in range(60):
        world.turn(10)
    calls = world.simulator.log()["calls"]
    assert sum(calls.values()) < 100
    world.simulator.clear_faults()
    world.run()
    assert world.statuses() == {"succeeded": 5 * SIZE}
    world.check()


def problems(world: SimulatedWorld) -> list[str]:
    return [data.problem for data in world.recorded(BatchPolled) if data.problem]


@pytest.mark.parametrize(
    ("kind", "problem"),
    [
        ("bom", "unreadable"),
        ("nul", "unreadable"),
        ("nan", "unreadable"),
        ("duplicate_key", "unreadable"),
        ("deep", "nested too deeply"),
        ("invalid_utf8", "not UTF-8"),
        ("missing", "1 "),
    ],
)
@pytest.mark.parametrize("line", [0, 1, 2])
def test_a_line_that_cannot_be_read_is_told_and_read_again(
    world: SimulatedWorld, kind: str, problem: str, line: int
) -> None:
    world.submit(SIZE)
    world.simulator.fault(endpoint="batches.results", kind=kind, line=line)
    world.run()
    (told,) = problems(world)
    assert problem in told
    assert len(told) < 300
    assert (world.statuses(), world.simulator.log()["calls"]["batches.results"]) == ({"succeeded": SIZE}, 2)
    world.check()


@pytest.mark.parametrize("kind", ["nul_escaped", "crlf", "empty_lines", "shuffled"])
def test_a_file_that_is_odd_and_readable_is_read_once(world: SimulatedWorld, kind: str) -> None:
    world.submit(SIZE)
    world.simulator.fault(endpoint="batches.results", kind=kind, line=1)
    world.run()
    assert problems(world) == []
    assert (world.statuses(), world.simulator.log()["calls"]["batches.results"]) == ({"succeeded": SIZE}, 1)
    world.check()


def test_a_huge_line_is_given_up_and_read_again(world: SimulatedWorld, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(client, "split_lines", partial(split_lines, limit=1_000_000))
    world.submit(SIZE)
    world.simulator.fault(endpoint="batches.results", kind="huge_line", size=5_000_000, line=1)
    world.run()
    assert ["longer than 1000000 bytes" in told for told in problems(world)] == [True]
    assert world.statuses() == {"succeeded": SIZE}
    world.check()


def test_of_a_huge_line_no_more_is_held_than_the_limit() -> None:
    taken = 0

    def pieces() -> Iterator[bytes]:
        nonlocal taken
        while True:
            taken += 65_536
            yield bytes(65_536)

    with pytest.raises(ResultsUnavailable, match="longer than 1000000 bytes"):
        next(split_lines(pieces(), limit=1_000_000))
    assert taken <= 1_000_000 + 65_536


@pytest.mark.parametrize(
    ("kind", "collected"),
    [
        ("duplicated", BatchResultsCollected(lines=SIZE + 2, foreign=0, repeated=2)),
        ("foreign", BatchResultsCollected(lines=SIZE + 2, foreign=2, repeated=0)),
    ],
)
def test_lines_that_do_not_belong_are_counted_and_cost_nothing(
    world: SimulatedWorld, kind: str, collected: BatchResultsCollected
) -> None:
    world.submit(SIZE)
    world.simulator.fault(endpoint="batches.results", kind=kind, lines=2)
    world.run()
    (told,) = world.recorded(BatchResultsCollected)
    assert (told.lines, told.foreign, told.repeated) == (collected.lines, collected.foreign, collected.repeated)
    assert world.statuses() == {"succeeded": SIZE}
    world.check()


@pytest.mark.parametrize("off_by", [-1, 1])
def test_counts_that_do_not_add_up_lose_nothing(world: SimulatedWorld, off_by: int) -> None:
    """Counted wrong wherever a batch is shown, also while its lost creation is looked for."""
    world.submit(2 * SIZE)
    world.simulator.fault(endpoint="batches.create", kind="drop_after")
    world.simulator.fault(endpoint="batches.create", kind="wrong_counts", off_by=off_by)
    world.simulator.fault(endpoint="batches.list", kind="wrong_counts", off_by=off_by, skip=2, times=2)
    world.simulator.fault(endpoint="batches.retrieve", kind="wrong_counts", off_by=off_by, times=50)
    world.run()
    log = world.simulator.log()
    assert (world.statuses(), log["creates_seen"], log["duplicated_params"]) == ({"succeeded": 2 * SIZE}, 2, 0)
    assert sorted(one.adopted for one in world.recorded(BatchSubmitted)) == [False, True]
    world.check()


def test_expired_items_are_sent_again() -> None:
    with simulated_world(size=4, batch_seconds=4 * 86_400) as world:
        world.submit(4)
        for _ in range(80):
            world.turn(6 * 3_600)
        world.run(turns=5)
        log = world.simulator.log()
        counts = [batch["request_counts"] for batch in log["batches"]]
        assert counts[0] | {"expired": 3, "succeeded": 1} == counts[0]
        assert log["duplicated_params"] == 0
        world.check()


@pytest.mark.parametrize("seconds", [0, 3, 6, 9])
def test_a_cancel_by_somebody_else_races_with_the_end(world: SimulatedWorld, seconds: float) -> None:
    """Mixed outcomes, whichever comes first."""
    world.submit(SIZE)
    world.simulator.fault(endpoint="batches.cancel", kind="jump", delay_seconds=seconds)
    world.turn()
    (row,) = batches(world.ledger)
    with world.client() as http:
        answer = http.post(f"/v1/messages/batches/{row.provider_batch_id}/cancel")
    assert answer.status_code == (400 if seconds >= 6 else 200)
    world.run()
    done = min(int(seconds) // 2, SIZE)
    counts = world.statuses()
    assert (counts["succeeded"], counts["canceled"]) == (done, SIZE - done)
    world.check()


@pytest.mark.parametrize("how", ["archived", "deleted before the end", "deleted before it was read"])
def test_results_that_nobody_will_ever_see_are_given_up(world: SimulatedWorld, how: str) -> None:
    """Older than the 29 days, or gone with their batch: paid, answered, and out of reach. The cost is unknown."""
    world.submit(SIZE)
    if how == "archived":
        world.turn()
        world.pass_time(30 * 86_400)
    else:
        endpoint = "batches.retrieve" if "end" in how else "batches.results"
        world.simulator.fault(endpoint=endpoint, kind="vanish")
    for _ in range(60):
        world.turn(86_400)
    assert outstanding(world.ledger).idle
    assert (world.statuses(), len(world.recorded(RequestCostUnknown))) == ({"abandoned": SIZE}, SIZE)
    log = world.simulator.log()
    assert (log["creates_seen"], log["calls"]["batches.results"] <= 80) == (1, True)
    assert verify(world.ledger.database).problems == ()


@pytest.mark.parametrize("seed", range(3))
def test_everything_at_once_by_seed(seed: int) -> None:
    """A third of all calls go wrong, until they do no more."""
    with simulated_world(size=SIZE, timeout=PATIENCE, fault_rate=0.33, fault_seed=seed) as world:
        world.submit(6 * SIZE)
        for _ in range(25):
            world.turn()
        world.simulator.clear_faults()
        world.run()
        world.pass_time(QUIET)
        audit(world.context)  # a batch that a proxy made twice is known to nobody but the provider
        world.run()
        assert set(world.statuses()) <= {"succeeded", "abandoned"}
        assert len(world.simulator.log()["faults"]) > 5
        world.check()


def test_no_read_fails_in_a_way_that_nobody_foresaw() -> None:
    """Whatever it meets, it is the provider's error, in words."""
    with simulated_world(timeout=PATIENCE) as world:
        batch_id = world.post_foreign(1)
        world.simulator.fault_rate(1.0, seed=5)
        told = []
        for _ in range(60):
            for ask in (world.provider.newest_batch, partial(world.provider.retrieve, batch_id)):
                try:
                    ask()
                except ProviderError as error:
                    told.append(str(error))
        assert len(told) > 60
        assert all(told)
