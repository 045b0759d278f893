"""Faults by chance, and orders that cannot be."""

from __future__ import annotations

from collections import Counter
from typing import Any

import httpx2
import pytest

from llm_ledger.simulator import RunningSimulator, SimulatorConfig, running
from llm_ledger.simulator.fault_lottery import draw
from llm_ledger.simulator.faults import ENDPOINTS

Json = dict[str, Any]
SIX = [name for name in ENDPOINTS if name.startswith("batches.")]


def test_the_same_seed_draws_the_same_faults() -> None:
    drawn = [[draw(seed, 0.3, "batches.create", call) for call in range(200)] for seed in (7, 7, 8)]
    assert drawn[0] == drawn[1] != drawn[2]


@pytest.mark.parametrize("endpoint", [*SIX, "messages"])
def test_the_rate_is_the_share_of_calls_that_go_wrong(endpoint: Any) -> None:
    kinds = Counter(fault.kind for call in range(4_000) if (fault := draw(1, 0.1, endpoint, call)))
    assert 320 < kinds.total() < 480
    assert {"status", "drop_before", "drop_after", "hang", "truncate", "slow", "malformed"} <= set(kinds)
    assert "vanish" not in kinds


def test_the_rest_is_spared() -> None:
    assert not any(draw(1, 1.0, "models", call) or draw(1, 1.0, "messages.count_tokens", call) for call in range(99))


def played(simulator: RunningSimulator) -> list[Json]:
    with httpx2.Client(base_url=simulator.base_url, timeout=0.05) as http:
        http.headers.update({"x-api-key": "k", "anthropic-version": "2026-10-21"})
        for _ in range(12):
            for path in ("/v1/messages/batches", "/v1/messages/batches/none", "/v1/models"):
                try:
                    http.get(path)
                except httpx2.HTTPError:
                    continue
    return list(simulator.log()["faults"])


def test_chance_by_configuration_and_by_order() -> None:
    with running(SimulatorConfig(seed=7, fault_rate=0.5)) as simulator:
        happened = played(simulator)
        assert {fault["endpoint"] for fault in happened} == {"batches.list", "batches.retrieve"}
        simulator.reset()
        assert played(simulator) == happened
        simulator.clear_faults()
        assert played(simulator) == happened
    with running(SimulatorConfig(seed=1, fault_rate=0.5, fault_seed=7)) as simulator:
        assert played(simulator) == happened
    with running() as simulator:
        assert played(simulator) == []
        simulator.reset()
        simulator.fault_rate(0.5, seed=7)
        assert played(simulator) == happened


def test_an_order_comes_before_chance(simulator: RunningSimulator, http: httpx2.Client) -> None:
    simulator.fault_rate(1.0)
    simulator.fault(endpoint="batches.list", kind="status", status=418)
    assert http.get("/v1/messages/batches").status_code == 418


@pytest.mark.parametrize(
    ("order", "possible"),
    [
        ({"endpoint": "models", "kind": "sulk"}, "delay, drop_after, drop_before"),
        (
            {"endpoint": "nowhere", "kind": "hang"},
            "endpoint: batches.cancel, batches.create, batches.delete",
        ),
        ({"endpoint": "models", "kind": "hang", "seconds": 1}, "delay_seconds, piece_bytes"),
        ({"endpoint": "models", "kind": "nan"}, "nan happens to batches.results, not to models"),
        ({"endpoint": "batches.create", "kind": "vanish"}, "batches.cancel, batches.results, batches.retrieve"),
        ({"endpoint": "models", "kind": "hang", "times": 0}, "times, piece_bytes and lines are 1 or more"),
        ({"endpoint": "models", "kind": "hang", "delay_seconds": -1}, "0 or more"),
        ({"endpoint": "models", "kind": "malformed", "body": "soup"}, "body: empty, half, html"),
    ],
)
def test_an_order_that_cannot_be_is_told_what_can(simulator: RunningSimulator, order: Json, possible: str) -> None:
    with pytest.raises(ValueError, match="Fields: endpoint, kind, times") as refused:
        simulator.fault(**order)
    assert possible in str(refused.value)


@pytest.mark.parametrize("rate", [-0.1, 1.1])
def test_a_rate_is_a_chance(simulator: RunningSimulator, rate: float) -> None:
    with pytest.raises(ValueError, match="rate"):
        simulator.fault_rate(rate)
    with pytest.raises(ValueError, match="fault_rate"):
        SimulatorConfig(fault_rate=rate)


def test_nothing_is_lost_of_a_drawn_fault(http: httpx2.Client, simulator: RunningSimulator) -> None:
    """Every fault that can be drawn can be carried out: the server itself never fails over one."""
    simulator.fault_rate(1.0, seed=3)
    for number in range(60):
        try:
            http.post(
                "/v1/messages/batches",
                json={"requests": [{"custom_id": f"a{number}", "params": {}}]},
                timeout=0.05,
            )
        except httpx2.HTTPError:
            continue
    assert http.get("/v1/models").status_code == 200
    log = simulator.log()
    made = [batch for create in log["creates"] for batch in create["batches"]]
    assert sorted(made) == sorted(batch["id"] for batch in log["batches"])
    assert len(log["creates"]) == len(log["faults"]) == 60
