"""One tool in one scenario: a simulator of its own, and the tool's script in processes of its own."""

from __future__ import annotations

import http.client
import json
import os
import signal
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

from bench.other_tools.scenarios import Scenario, requests_of
from bench.other_tools.tools import Tool
from bench.other_tools.verdict import Answers, Verdict, answers_in, judged
from llm_ledger.simulator import RunningSimulator, SimulatorConfig, running

__all__ = ["trial"]

_KEY: Final = "bench-key"
_STARTS: Final = 3
"""How often a script is started at most, as a supervisor would that starts it again when it fails."""
_PATIENCE_SECONDS: Final = 150.0
_BATCH_SECONDS: Final = 1.0

_SURROUNDINGS: Final = {
    "ANTHROPIC_API_KEY": _KEY,
    "NO_PROXY": "127.0.0.1",
    "no_proxy": "127.0.0.1",
    # What would take minutes by default takes seconds; nothing here changes what a tool decides.
    "LLM_LEDGER_BATCH_TIMEOUT_SECONDS": "0",
    "LLM_LEDGER_POLL_MIN_SECONDS": "0.5",
    "LLM_LEDGER_POLL_MAX_SECONDS": "0.5",
    "LLM_LEDGER_LEASE_SECONDS": "3",
    "LLM_LEDGER_SUBMIT_QUIET_SECONDS": "10",
    "LANGASYNC_BATCH_POLL_INTERVAL": "0.5",
    # There is no network: nothing is to be reported or fetched.
    "CURATOR_VIEWER": "0",
    "TELEMETRY_ENABLED": "0",
    "HF_HUB_OFFLINE": "1",
    "LITELLM_LOCAL_MODEL_COST_MAP": "True",
}


def trial(tool: Tool, python: Path, scenario: Scenario, folder: Path, truth: Answers | None) -> Verdict:
    """Run it in `folder`, where its output stays. `truth` has the right answers, if they are known.

    Raises RuntimeError for a tool that was to be killed and ended before it made a batch.
    """
    folder.mkdir(parents=True)
    requests = requests_of("the bench", cached=scenario.cached)
    (folder / "requests.jsonl").write_text("".join(json.dumps(request) + "\n" for request in requests))
    exits: list[str] = []
    stranger = None
    with running(SimulatorConfig(batch_seconds=_BATCH_SECONDS)) as simulator:
        if scenario.fault is not None:
            simulator.fault(**scenario.fault)
        while len(exits) < _STARTS and exits[-1:] != ["0"]:
            with _started(tool, python, folder, simulator.base_url) as process:
                if scenario.killed and not exits:
                    _wait_for_create(simulator, process)
                    stranger = _make_batch(simulator) if scenario.stranger else None
                    _kill(process)
                exits.append(_end(process))
        simulator.clear_faults()
        simulator.advance(3_600)
        cost = folder / "cost"
        return judged(
            simulator.log(),
            simulator.bill(),
            stranger,
            answers_in(folder / "results.jsonl"),
            truth,
            exits,
            cost.read_text() if cost.exists() else None,
        )


@contextmanager
def _started(tool: Tool, python: Path, folder: Path, base_url: str) -> Iterator[subprocess.Popen[bytes]]:
    """The script in a session of its own; whatever happens, it does not outlive the block."""
    surroundings = {"PATH": os.environ["PATH"], "HOME": str(folder), **_SURROUNDINGS, "ANTHROPIC_BASE_URL": base_url}
    if not tool.packages:
        surroundings["PYTHONPATH"] = str(Path(__file__).parents[2])
    with (folder / "output.log").open("ab") as output:
        process = subprocess.Popen(
            [python, tool.path, "requests.jsonl", "results.jsonl"],
            cwd=folder,
            env=surroundings,
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=output,
            start_new_session=True,
        )
    try:
        yield process
    finally:
        if process.poll() is None:
            _kill(process)
            process.wait()


def _end(process: subprocess.Popen[bytes]) -> str:
    """Its exit status, or `killed`, or `hangs` for one that came to no end."""
    try:
        status = process.wait(_PATIENCE_SECONDS)
    except subprocess.TimeoutExpired:
        _kill(process)
        process.wait()
        return "hangs"
    return "killed" if status == -signal.SIGKILL else str(status)


def _kill(process: subprocess.Popen[bytes]) -> None:
    os.killpg(process.pid, signal.SIGKILL)


def _wait_for_create(simulator: RunningSimulator, process: subprocess.Popen[bytes]) -> None:
    deadline = time.monotonic() + _PATIENCE_SECONDS
    while not simulator.log()["creates_seen"]:
        if process.poll() is not None or time.monotonic() > deadline:
            raise RuntimeError("it never made a batch")
        time.sleep(0.05)
    time.sleep(0.2)  # the fault takes effect after the call is counted


def _make_batch(simulator: RunningSimulator) -> str:
    """Somebody else's batch; its id."""
    connection = http.client.HTTPConnection(simulator.base_url.removeprefix("http://"), timeout=60)
    headers = {"x-api-key": _KEY, "anthropic-version": "2023-06-01", "content-type": "application/json"}
    body = json.dumps({"requests": requests_of("a stranger")})
    connection.request("POST", "/v1/messages/batches", body, headers)
    answer = json.loads(connection.getresponse().read())
    connection.close()
    return str(answer["id"])
