"""What `llm-ledger simulate` is told reaches the simulator, and its help says how to order a fault."""

from __future__ import annotations

from typing import Any

import pytest
import typer
from typer.testing import CliRunner

import llm_ledger.simulator
from llm_ledger.cli.commands.simulate import simulate
from llm_ledger.simulator import SimulatorConfig


@pytest.fixture
def command() -> typer.Typer:
    app = typer.Typer()
    app.command()(simulate)
    return app


def test_rate_and_seed_of_faults(command: typer.Typer, monkeypatch: pytest.MonkeyPatch) -> None:
    served: list[SimulatorConfig] = []

    def serve(config: SimulatorConfig, *rest: Any) -> None:
        served.append(config)

    monkeypatch.setattr(llm_ledger.simulator, "serve", serve)
    told = CliRunner().invoke(command, ["--fault-rate", "0.1", "--seed", "7"])
    assert told.exit_code == 0
    assert [(config.fault_rate, config.seed, config.fault_seed) for config in served] == [(0.1, 7, None)]


def test_the_help_shows_an_order(command: typer.Typer) -> None:
    told = CliRunner().invoke(command, ["--help"], env={"COLUMNS": "200", "NO_COLOR": "1"})
    assert 'curl $ANTHROPIC_BASE_URL/_simulator/faults -d \'{"endpoint": "batches.create", "kind"' in told.output
