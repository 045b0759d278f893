"""Which tools are compared, and in which versions. Names and versions only."""

from __future__ import annotations

from pathlib import Path
from typing import Final

import msgspec

__all__ = ["TOOLS", "Tool"]

_DRIVERS: Final = Path(__file__).with_name("drivers")


class Tool(msgspec.Struct, frozen=True):
    """A tool, the packages of its virtual environment (none: this interpreter), and the script that uses it.

    The script is called as `SCRIPT REQUESTS RESULTS`, again and again in the same folder if it fails. It writes a
    row `{"custom_id", "text"}` or `{"custom_id", "error"}` for each result that the tool hands over, and the tool's
    own figure in USD, if there is one, into the file `cost`.
    """

    name: str
    script: str
    packages: tuple[str, ...] = ()

    @property
    def label(self) -> str:
        """Its name with the version that is measured."""
        package, _, version = self.packages[0].partition("==") if self.packages else (self.name, "", "")
        return f"{package.partition('[')[0]} {version}".strip()

    @property
    def path(self) -> Path:
        """Where the script is."""
        return _DRIVERS / self.script


TOOLS: Final = (
    Tool("llm-ledger", "ours.py"),
    Tool("anthropic", "sdk.py", ("anthropic==2.12.0",)),
    Tool("anthropic 0.x", "sdk.py", ("anthropic==0.125.0",)),
    Tool("batchlane", "batchlane_run.py", ("batchlane==0.2.0", "litellm==1.106.2")),
    Tool("batchwizard", "batchwizard_cli.py", ("batchwizard==0.5.0", "anthropic==0.125.0")),
    Tool(
        "bespokelabs-curator",
        "curator_llm.py",
        # Without the last one pip tries for minutes which versions go together.
        ("bespokelabs-curator==0.1.31", "instructor==1.14.5", "grpcio-status==1.71.2"),
    ),
    Tool("inspect-ai", "inspect_eval.py", ("inspect-ai==0.3.285", "anthropic==2.12.0")),
    Tool("instructor", "instructor_batch.py", ("instructor[anthropic]==1.17.0", "anthropic==0.93.0")),
    Tool("langasync", "langasync_chain.py", ("langasync==0.2.3", "langchain-anthropic==1.7.7")),
    Tool("steadybatch", "steadybatch_runner.py", ("steadybatch[anthropic]==0.2.1", "anthropic==2.12.0")),
)
