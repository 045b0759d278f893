"""The program as such: quick to start, true to its version, silent about secrets."""

from __future__ import annotations

import subprocess
import sys
import tomllib
from pathlib import Path
from typing import Any

import pytest

from llm_ledger import __version__
from llm_ledger.cli.app import app

HEAVY = {"sqlalchemy", "alembic", "anthropic", "apscheduler", "uvicorn", "starlette", "rich", "ledger", "scheduler"}

NAMES = [str(info.name) for info in app.registered_commands]


def test_every_command_of_the_design_is_there() -> None:
    wanted = (
        "init submit run results cancel retry requests batches events show savings "
        "verify anchor rebuild purge reconcile simulate demo"
    )
    assert set(wanted.split()) == set(NAMES)


@pytest.mark.parametrize("name", NAMES)
def test_every_command_explains_itself(program: Any, name: str) -> None:
    done = program(name, "--help")
    assert done.code == 0
    assert name in done.out


def test_nothing_heavy_is_imported_before_a_command_needs_it() -> None:
    code = "import sys, llm_ledger.cli; print(*{name.partition('.')[0] for name in sys.modules})"
    loaded = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout
    assert not HEAVY & set(loaded.split())


def test_the_version_is_the_distributions(program: Any) -> None:
    pyproject = tomllib.loads(Path("pyproject.toml").read_text())
    assert __version__ == pyproject["project"]["version"]
    assert program("--version").out == f"llm-ledger {__version__}\n"


@pytest.mark.parametrize("arguments", [("nonsense",), ("submit",), ("requests", "--limit", "-1"), ("show",)])
def test_usage_errors_exit_with_2(program: Any, arguments: tuple[str, ...]) -> None:
    assert program(*arguments).code == 2


def test_a_bug_shows_a_traceback_without_locals(program: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(*_: object, **__: object) -> None:
        secret = "sk-local-variable"  # noqa: F841
        raise RuntimeError("a bug")

    monkeypatch.setattr("ledger.summary.savings", broken)
    done = program("savings")
    assert done.code == 70
    assert "RuntimeError: a bug" in done.err
    assert "sk-local" not in done.err.replace('secret = "sk-local-variable"', "")


def test_the_key_stands_nowhere_in_the_ledgers_files(finished: Any) -> None:
    program, _ = finished
    key = program.settings["ANTHROPIC_API_KEY"].encode()
    assert not [path for path in program.folder.iterdir() if key in path.read_bytes()]


def test_the_simulator_says_how_to_use_it(program: Any) -> None:
    with program.start("simulate", "--port", "0") as process:
        assert process.stdout is not None
        assert process.stdout.readline().startswith("export ANTHROPIC_BASE_URL=http://127.0.0.1:")
        assert process.stdout.readline().startswith("export ANTHROPIC_API_KEY=")
        process.terminate()
        assert process.wait(30) == 0


def test_a_taken_port_is_bad_input(program: Any) -> None:
    port = program.settings["ANTHROPIC_BASE_URL"].rpartition(":")[2]
    done = program("simulate", "--port", port)
    assert done.code == 2
    assert port in done.complaint


def with_streams(program: Any, redirection: str, *arguments: str) -> subprocess.CompletedProcess[str]:
    """The command as a shell runs it that closes streams."""
    return subprocess.run(
        ["sh", "-c", f'exec "$@" {redirection}', "sh", sys.executable, "-m", "llm_ledger", *arguments],
        env=program.environment(),
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


def test_a_closed_standard_input_is_bad_input_and_no_empty_file(program: Any) -> None:
    done = with_streams(program, "<&-", "submit", "-")
    assert (done.returncode, done.stderr) == (2, "llm-ledger: -: standard input is closed\n")


def test_what_goes_to_closed_outputs_goes_nowhere(program: Any, request_line: Any) -> None:
    program("submit", program.file(request_line(1)))
    done = with_streams(program, "<&- >&-", "results")
    assert (done.returncode, done.stderr) == (0, "")
    assert with_streams(program, ">&- 2>&-", "results").returncode == 0
    assert program("verify").code == 0
