"""`python -m bench.other_tools`: every tool through every scenario, against the simulator; the table on stdout.

Each tool is installed into a virtual environment of its own, in the versions that `tools` names. A tool that cannot
be installed or used here is told so and has no figures.
"""

from __future__ import annotations

import argparse
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping, Sequence
from pathlib import Path

from bench.other_tools.scenarios import CALM, REQUESTS, SCENARIOS, Scenario
from bench.other_tools.table import rendered, told
from bench.other_tools.tools import TOOLS, Tool
from bench.other_tools.trial import trial
from bench.other_tools.venvs import python_of
from bench.other_tools.verdict import Answers, Verdict, answers_in

__all__ = ["main"]


def main(arguments: Sequence[str] | None = None) -> int:
    """Measure what the arguments ask for. Exit code 1 if a tool could not be measured."""
    chosen = _parser().parse_args(arguments)
    wanted = [scenario for scenario in SCENARIOS if not chosen.scenario or scenario.letter in chosen.scenario]
    with tempfile.TemporaryDirectory(prefix="llm-ledger-tools-", ignore_cleanup_errors=True) as temporary:
        folder: Path = (chosen.folder or Path(temporary)).resolve()
        folder.mkdir(parents=True, exist_ok=True)
        rows = {
            tool.label: _measured(tool, folder, wanted)
            for tool in TOOLS
            if not chosen.tool or tool.name in chosen.tool
        }
    print(rendered(wanted, rows))
    return int(any(isinstance(row, str) for row in rows.values()))


def _measured(tool: Tool, folder: Path, wanted: Sequence[Scenario]) -> Mapping[str, Verdict] | str:
    """The verdicts by letter, or why there are none."""
    _say(f"{tool.name}: installing")
    try:
        python = python_of(tool, folder / "venvs")
    except subprocess.CalledProcessError as error:
        _say(error.stderr.strip()[-1_000:])
        return "cannot be installed here"
    place = Path(tempfile.mkdtemp(prefix=f"{tool.name.replace(' ', '-')}-", dir=folder))
    try:
        return _verdicts(tool, python, place, wanted)
    except RuntimeError as error:
        _say(f"{tool.name}: {error}, see {place}")
        return "does not run here"


def _verdicts(tool: Tool, python: Path, place: Path, wanted: Sequence[Scenario]) -> Mapping[str, Verdict]:
    calm = _tried(tool, python, CALM, place, None)
    if calm.right != REQUESTS:
        raise RuntimeError(f"{calm.right} of {REQUESTS} although nothing went wrong")
    truth = {row["custom_id"]: row["text"] for row in answers_in(place / CALM.letter / "results.jsonl")}
    verdicts = {CALM.letter: calm}
    for scenario in wanted:
        if scenario is not CALM:
            known = None if scenario.cached else truth
            verdicts[scenario.letter] = _tried(tool, python, scenario, place, known)
    return verdicts


def _tried(tool: Tool, python: Path, scenario: Scenario, place: Path, truth: Answers | None) -> Verdict:
    began = time.monotonic()
    verdict = trial(tool, python, scenario, place / scenario.letter, truth)
    _say(f"{tool.name}, {scenario.words}: {told(scenario, verdict)} ({time.monotonic() - began:.0f} s)")
    _say(f"    {verdict}")
    return verdict


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m bench.other_tools", description=__doc__)
    parser.add_argument(
        "--tool", action="append", choices=[tool.name for tool in TOOLS], help="only this; repeatable"
    )
    letters = [scenario.letter for scenario in SCENARIOS]
    parser.add_argument("--scenario", action="append", choices=letters, help="only this; repeatable")
    parser.add_argument("--folder", type=Path, metavar="DIR", help="keep environments and what the tools wrote there")
    return parser


def _say(line: str) -> None:
    sys.stderr.write(f"{line}\n")
    sys.stderr.flush()


if __name__ == "__main__":
    sys.exit(main())
