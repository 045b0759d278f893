"""Answers that a process never reads to their end: its exit records them, once, and is not held up."""

from __future__ import annotations

import os
import subprocess
import sys

from ledger import Ledger, queries
from llm_ledger.simulator import RunningSimulator

SCRIPT = """
import os, sys
import anthropic
from langchain_anthropic import ChatAnthropic
from llm_optimization import optimize, optimize_client

place = {"api_key": "key", "base_url": sys.argv[1]}
asked = {"model": "claude-sonnet-5-5", "max_tokens": 60}
said = {"role": "user", "content": "Hello"}
client = optimize_client(anthropic.Anthropic(**place))
model = optimize(ChatAnthropic(**asked, **place), "anthropic", {"optimization_enabled": True})

streams = [client.messages.create(**asked, messages=[said], stream=True) for _ in range(2)]
answers = [iter(stream) for stream in streams] + [model.stream([said]) for _ in range(2)]
for answer in answers:
    next(answer)
child = os.fork()
if child == 0:
    streams[0].close()
    answers[2].close()
else:
    assert os.waitpid(child, 0)[1] == 0
    assert list(answers[1]) and list(answers[3])
"""


def test_a_stream_that_is_open_at_the_exit_is_recorded_by_the_process_that_began_it(
    simulator: RunningSimulator, ledger_url: str
) -> None:
    done = subprocess.run(
        [sys.executable, "-W", "ignore", "-c", SCRIPT, simulator.base_url],
        env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)},
        capture_output=True,
        text=True,
        timeout=30,
        check=False,
    )
    # From Python 3.12 on, an exiting process starts no writer: it spools.
    assert (done.returncode, [line for line in done.stderr.splitlines() if "are spooled" not in line]) == (0, [])
    with Ledger.open(ledger_url) as ledger:
        statuses = sorted(row.status for row in queries.requests(ledger))
    assert statuses == ["errored"] * 2 + ["succeeded"] * 2
