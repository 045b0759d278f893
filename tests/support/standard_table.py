"""Plays LangChain's standard suites on a bare and a wrapped ChatAnthropic and puts the table into docs/langchain.md.

python -m tests.support.standard_table
"""

from __future__ import annotations

import sys
from importlib.metadata import version
from pathlib import Path

import pytest

__all__ = ["render"]

_PAGE = Path("docs/langchain.md")
_BEGIN, _END = "<!-- standard suites -->\n", "<!-- end of standard suites -->\n"
_SUITES = ("test_standard_unit.py", "test_standard_integration.py")
_PACKAGES = ("langchain-tests", "langchain-core", "langchain-anthropic", "anthropic")

_Outcomes = dict[tuple[str, str], dict[str, str]]


class _Notes:
    """A pytest plugin that notes how each test ended, by suite and test, then by class."""

    def __init__(self) -> None:
        self.outcomes: _Outcomes = {}

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        if report.when != "call" and report.passed:
            return
        path, suite, test = report.nodeid.split("::", 2)
        self.outcomes.setdefault((Path(path).stem, test), {})[suite] = self._outcome(report)

    @staticmethod
    def _outcome(report: pytest.TestReport) -> str:
        if hasattr(report, "wasxfail"):
            return f"fails: {report.wasxfail}"
        if report.skipped and isinstance(report.longrepr, tuple):
            return f"skips itself: {report.longrepr[2].removeprefix('Skipped: ')}"
        return report.outcome


def render(outcomes: _Outcomes) -> str:
    """The table as Markdown, one section per suite."""
    lines = [f"As run on {', '.join(f'{package} {version(package)}' for package in _PACKAGES)}."]
    for suite in dict.fromkeys(suite for suite, _ in outcomes):
        rows = {test: found for (of, test), found in outcomes.items() if of == suite}
        lines += ["", f"`{suite}.py`: {len(rows)} tests", "", "| test | bare | wrapped |", "| --- | --- | --- |"]
        lines += [
            f"| `{test}` | {found.get('TestBare', '–')} | {found.get('TestWrapped', '–')} |"
            for test, found in rows.items()
        ]
    return "\n".join([*lines, ""])


def main() -> int:
    """Exit code 1 where a test ended otherwise on the wrapped model than on the bare one."""
    notes = _Notes()
    pytest.main(
        ["-q", "-n", "0", *(f"llm_optimization/tests/{suite}" for suite in _SUITES)],
        plugins=[notes],
    )
    before, _, rest = _PAGE.read_text().partition(_BEGIN)
    after = rest.partition(_END)[2]
    _PAGE.write_text(f"{before}{_BEGIN}{render(notes.outcomes)}{_END}{after}")
    return int(any(len(set(found.values())) > 1 for found in notes.outcomes.values()))


if __name__ == "__main__":
    sys.exit(main())
