"""The simulator as a process and as a thread; its clock."""

from __future__ import annotations

import signal
import socket
import subprocess
import sys
from datetime import datetime, timedelta

import httpx2
import pytest

from llm_ledger.simulator import RunningSimulator, SimulatorConfig, create_app, running, serve

PROGRAM = """
from llm_ledger.simulator import serve
serve(port=0, on_ready=lambda base_url: print(base_url, flush=True))
print("stopped")
"""


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_serve_returns_quietly_at_a_signal(number: signal.Signals) -> None:
    with subprocess.Popen(
        [sys.executable, "-c", PROGRAM], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    ) as process:
        assert process.stdout is not None
        base_url = process.stdout.readline().strip()
        assert httpx2.get(f"{base_url}/_simulator/bill").json()["total"] == "0"
        process.send_signal(number)
        out, err = process.communicate(timeout=20)
    assert (process.returncode, out, err) == (0, "stopped\n", "")


def test_a_taken_port_is_told() -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken, pytest.raises(OSError, match="in use"):
        serve(port=taken.getsockname()[1])


def test_two_simulators_share_nothing() -> None:
    headers = {"x-api-key": "k", "anthropic-version": "2026-10-21"}
    asked = {"model": "claude-opus-5", "max_tokens": 9, "messages": [{"role": "user", "content": "x"}]}
    with running() as one, running() as other:
        httpx2.post(f"{one.base_url}/v1/messages", json=asked, headers=headers)
        assert (one.bill()["requests"], other.bill()["requests"]) == (1, 0)


def test_the_same_seed_gives_the_same_ids(simulator: RunningSimulator) -> None:
    def request_id() -> str:
        simulator.reset()
        return httpx2.get(f"{simulator.base_url}/v1/models").headers["request-id"]

    assert request_id() == request_id()


def now(simulator: RunningSimulator) -> datetime:
    return datetime.fromisoformat(simulator.clock()["now"])


def test_the_clock_moves_when_told_and_never_back(simulator: RunningSimulator) -> None:
    before = now(simulator)
    simulator.advance(90.5)
    assert now(simulator) - before == timedelta(seconds=90.5)
    with pytest.raises(ValueError, match="forward"):
        simulator.advance(-1)


def test_the_clock_can_run_faster() -> None:
    with running(SimulatorConfig(time_scale=1_000_000)) as simulator:
        before = now(simulator)
        assert now(simulator) - before > timedelta(seconds=10)


@pytest.mark.parametrize(
    "fields",
    [{"batch_seconds": -1}, {"batch_cache_hit_rate": 2}, {"start": datetime(2026, 1, 1)}],  # noqa: DTZ001
)
def test_a_configuration_that_cannot_be_is_refused(fields: dict[str, object]) -> None:
    with pytest.raises(ValueError, match=r"forward|chance|time zone"):
        SimulatorConfig(**fields)  # type: ignore[arg-type]


def test_the_application_stands_alone() -> None:
    assert {"/v1/messages", "/v1/messages/batches"} <= {route.path for route in create_app().routes}
