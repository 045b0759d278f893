"""Two `run --until-idle` at once on one ledger: both go home when all is done, and nothing was done twice."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections import Counter
from decimal import Decimal
from pathlib import Path

from ledger import Ledger
from ledger.events import BatchSubmitted, CacheUsageRecorded
from ledger.queries import batches, requests
from ledger.savings import Period
from ledger.summary import savings
from ledger.verify import verify
from llm_ledger.simulator import SimulatorConfig, running
from scheduler import Intake, providers
from tests.support.databases import shared_url

ROOT = Path(__file__).resolve().parents[2]
MANY = 60


def line(number: int) -> bytes:
    params = {
        "model": "claude-haiku-4-5",
        "max_tokens": 32,
        "messages": [{"role": "user", "content": f"What is {number} times 7?"}],
    }
    return json.dumps({"custom_id": f"r{number}", "params": params}).encode()


def run(url: str, base_url: str) -> subprocess.Popen[str]:
    strange = ("LLM_LEDGER_", "ANTHROPIC_")
    environ = {name: value for name, value in os.environ.items() if not name.startswith(strange)} | {
        "LLM_LEDGER_DATABASE_URL": url,
        "ANTHROPIC_API_KEY": "sk-of-the-test",
        "ANTHROPIC_BASE_URL": base_url,
        "LLM_LEDGER_BATCH_MAX_SIZE": "4",
        "LLM_LEDGER_BATCH_TIMEOUT_SECONDS": "0.1",
        "LLM_LEDGER_POLL_MIN_SECONDS": "0.1",
        "LLM_LEDGER_POLL_MAX_SECONDS": "0.4",
        "LLM_LEDGER_LEASE_SECONDS": "3",
        "LLM_LEDGER_SUBMIT_QUIET_SECONDS": "1",
    }
    command = [sys.executable, "-m", "llm_ledger", "run", "--until-idle"]
    return subprocess.Popen(command, cwd=ROOT, env=environ, text=True, stderr=subprocess.PIPE)


def test_two_of_them_share_the_work_and_leave_one_line_each(tmp_path: Path) -> None:
    url = shared_url(tmp_path)
    with running(SimulatorConfig(batch_seconds=0.5)) as simulator, Ledger.open(url) as ledger:
        Intake(ledger, providers.rules("anthropic")).submit([line(number) for number in range(MANY)])
        both = [run(url, simulator.base_url) for _ in range(2)]
        said = [process.communicate(timeout=120)[1] for process in both]
        assert [process.returncode for process in both] == [0, 0], said

        assert [row.status for row in requests(ledger)] == ["succeeded"] * MANY
        told = Counter((type(event.data), event.stream_id) for event in ledger.events())
        assert [count for (kind, _), count in told.items() if kind is CacheUsageRecorded] == [1] * MANY
        assert [count for (kind, _), count in told.items() if kind is BatchSubmitted] == [1] * len(
            list(batches(ledger))
        )
        assert simulator.log()["duplicated_params"] == 0
        assert Decimal(savings(ledger, Period())["cost"]["actual"]) == Decimal(simulator.bill()["total"])
        assert verify(ledger.database).problems == ()
    for text in said:
        (last,) = [one for one in text.splitlines() if one.startswith("llm-ledger: ")]
        assert " succeeded, 0 failed" in last
        assert "Traceback" not in text
        assert " error " not in text
        assert "cannot be used" not in text
