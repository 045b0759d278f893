"""The real command: in this process where that is enough, in one of its own where exit codes and signals matter."""

from __future__ import annotations

import json
import logging
import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import text
from typer.testing import CliRunner

from ledger import Ledger
from ledger.backends import open_database
from llm_ledger.cli.app import app
from llm_ledger.simulator import RunningSimulator, SimulatorConfig, running
from tests.support.databases import absent_url, shared_url

KEY = "sk-canary-4711"

HURRIED = {
    "LLM_LEDGER_BATCH_TIMEOUT_SECONDS": "0.1",
    "LLM_LEDGER_POLL_MIN_SECONDS": "0.1",
    "LLM_LEDGER_POLL_MAX_SECONDS": "0.5",
    "LLM_LEDGER_LEASE_SECONDS": "2",
    "LLM_LEDGER_SUBMIT_QUIET_SECONDS": "0.5",
}

PROMPT = "You are a careful tutor who answers in one short sentence. " * 350


@dataclass(frozen=True)
class Done:
    """How a command ended. Every output is searched for the key: none may hold it."""

    code: int
    out: str
    err: str

    def __post_init__(self) -> None:
        assert KEY not in self.out + self.err

    @property
    def lines(self) -> list[Any]:
        return [json.loads(line) for line in self.out.splitlines()]

    @property
    def document(self) -> Any:
        (line,) = self.lines
        return line

    @property
    def complaint(self) -> str:
        """The one line on stderr that says what is wrong."""
        (line,) = [line for line in self.err.splitlines() if line.startswith("llm-ledger: ")]
        assert "Traceback" not in self.err
        return line.removeprefix("llm-ledger: ")


@dataclass(frozen=True)
class Program:
    """`llm-ledger` with a ledger of its own, in front of a provider."""

    folder: Path
    url: str
    settings: dict[str, str] = field(default_factory=dict)

    def environment(self, **changes: str) -> dict[str, str]:
        ours = {"LLM_LEDGER_DATABASE_URL": self.url, **HURRIED, **self.settings, **changes}
        strange = ("LLM_LEDGER_", "ANTHROPIC_")
        return {name: value for name, value in os.environ.items() if not name.startswith(strange)} | ours

    def __call__(self, *arguments: str, stdin: bytes = b"", **changes: str) -> Done:
        """In this process."""
        kept = {name: None for name in os.environ if name.startswith(("LLM_LEDGER_", "ANTHROPIC_"))}
        env: dict[str, str | None] = {**kept, **self.environment(**changes)}
        result = CliRunner().invoke(app, list(arguments), input=stdin, env=env, catch_exceptions=False)
        return Done(result.exit_code, result.stdout, result.stderr)

    def start(self, *arguments: str, **changes: str) -> subprocess.Popen[str]:
        """In a process of its own."""
        return subprocess.Popen(
            [sys.executable, "-m", "llm_ledger", *arguments],
            env=self.environment(**changes),
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )

    def process(self, *arguments: str, **changes: str) -> Done:
        """In a process of its own, to its end."""
        with self.start(*arguments, **changes) as process:
            out, err = process.communicate(timeout=60)
        return Done(process.returncode, out, err)

    def file(self, *lines: bytes, name: str = "requests.jsonl") -> str:
        """A file of requests."""
        path = self.folder / name
        path.write_bytes(b"".join(lines))
        return str(path)

    def alter(self, *statements: str) -> None:
        """Do something to the ledger that the program never would."""
        database = open_database(self.url)
        with database.write() as connection:
            for statement in statements:
                connection.execute(text(statement))
        database.close()

    def wait_until(self, reached: Callable[[Ledger], bool]) -> None:
        """Wait for a state of the ledger."""
        deadline = time.monotonic() + 30
        with Ledger.open(self.url) as ledger:
            while not reached(ledger):
                assert time.monotonic() < deadline, "it never came to that"
                time.sleep(0.05)


def line(number: int, *, model: str = "claude-haiku-4-5", question: str | None = None, **more: Any) -> bytes:
    """One line of a requests file, under a system prompt that all of them cache."""
    params = {
        "model": model,
        "max_tokens": 64,
        "system": [{"type": "text", "text": PROMPT, "cache_control": {"type": "ephemeral", "ttl": "1h"}}],
        "messages": [{"role": "user", "content": question or f"What is {number} + {number}?"}],
        **more.pop("params", {}),
    }
    return json.dumps({"custom_id": f"q-{number}", "params": params, **more}).encode() + b"\n"


@pytest.fixture(scope="session")
def request_line() -> Callable[..., bytes]:
    return line


@pytest.fixture(scope="session")
def provider() -> Iterator[RunningSimulator]:
    with running(SimulatorConfig(batch_seconds=0.2)) as simulator:
        yield simulator


@pytest.fixture(autouse=True)
def _logs_as_they_were() -> Iterator[None]:
    root = logging.getLogger()
    handlers, level = root.handlers[:], root.level
    yield
    root.handlers[:], root.level = handlers, level


@pytest.fixture
def simulator(provider: RunningSimulator) -> RunningSimulator:
    provider.reset()
    return provider


@pytest.fixture
def program(tmp_path: Path, simulator: RunningSimulator) -> Program:
    settings = {"ANTHROPIC_API_KEY": KEY, "ANTHROPIC_BASE_URL": simulator.base_url}
    return Program(tmp_path, shared_url(tmp_path), settings)


@pytest.fixture
def newcomer(program: Program) -> Program:
    """The program before its first use: there is no ledger yet."""
    return replace(program, url=absent_url(program.folder))


@pytest.fixture(scope="session")
def finished(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Program, dict[str, Any]]]:
    """A ledger in which everything is done, for commands that only read, and the provider's bill for it."""
    with running(SimulatorConfig(batch_seconds=0.2)) as simulator:
        settings = {"ANTHROPIC_API_KEY": KEY, "ANTHROPIC_BASE_URL": simulator.base_url}
        folder = tmp_path_factory.mktemp("finished")
        program = Program(folder, shared_url(folder), settings)
        models = ("claude-haiku-4-5", "claude-sonnet-5-5", "claude-opus-5-5")
        lines = [line(number, model=models[number % 3], tags={"team": f"t{number % 2}"}) for number in range(1, 25)]
        refused = line(25, params={"metadata": {"user_id": "simulate:invalid"}})
        assert program("submit", program.file(*lines, refused)).code == 0
        assert program("run", "--until-idle").code == 1
        yield program, simulator.bill()
