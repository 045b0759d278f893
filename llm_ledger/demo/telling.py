"""How the demo is told on a terminal, and in plain lines elsewhere."""

from __future__ import annotations

import sys
from collections.abc import Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from decimal import Decimal
from typing import Any, Final

import msgspec
from rich import box
from rich.console import Console
from rich.table import Table
from rich.text import Text

from ledger.queries import StoredEvent
from llm_ledger.cli.waterfall import picture, steps
from llm_ledger.cli.words import counted, dollars

__all__ = ["Teller"]

_WIDTH: Final = 100

_MEANINGS: Final = {
    "batch.submission_started": "the intent is on record, then the POST leaves",
    "batch.submission_uncertain": "its sender is gone: nobody knows whether the provider has it",
    "batch.submission_released": "the provider never had it",
    "batch.ended": "the provider is done",
    "batch.results_collected": "every item is checked off",
}


class Teller:
    """Says what happens, as it happens."""

    def __init__(self) -> None:
        self._console = Console(highlight=False, width=None if sys.stdout.isatty() else _WIDTH)

    def opening(self, base_url: str) -> None:
        """Where this takes place."""
        self._console.print(Text(f"A provider of our own at {base_url}; no key, no network, no cost.", style="dim"))

    def waiting(self, what: str) -> AbstractContextManager[object]:
        """Something that takes a moment."""
        return self._console.status(what) if self._console.is_terminal else nullcontext()

    def done(self, what: str) -> None:
        """Something has happened."""
        self._console.print(Text("• ", style="bold") + Text(what))

    def check(self, holds: bool, what: str) -> bool:
        """Something holds, or does not."""
        mark = Text("✓ ", style="bold green") if holds else Text("✗ ", style="bold red")
        self._console.print(mark + Text(what))
        return holds

    def crash(self, events: Sequence[StoredEvent], killed_after: int) -> None:
        """The life of the batch whose answer was lost."""
        self.done("llm-ledger run, once more: the lost batch was found again, by proof")
        table = Table.grid(padding=(0, 2))
        table.add_column(style="dim")
        killed = False
        for event in (event for event in events if event.type != "batch.polled"):
            if event.position > killed_after and not killed:
                killed = True
                table.add_row("", Text("SIGKILL", style="bold red"), "the provider has it; its answer never came")
            table.add_row(f"  {event.occurred_at:%H:%M:%S}", Text(event.type, style="cyan"), _meaning(event))
        self._console.print(table)
        self._console.print()

    def models(self, groups: Sequence[Mapping[str, Any]], bill: Mapping[str, Any]) -> None:
        """Our cost per model beside the provider's."""
        table = Table(box=box.SIMPLE_HEAD, pad_edge=False, header_style="bold")
        table.add_column("model")
        for name in ("requests", "cached input", "our cost", "provider's bill", "saved"):
            table.add_column(name, justify="right")
        for group in groups:
            theirs = bill.get(group["name"], {"total": "0"})["total"]
            same = Decimal(theirs) == Decimal(group["cost"]["actual"])
            table.add_row(
                group["name"],
                f"{group['requests']['total']:,}",
                f"{100 * Decimal(group['cache']['token_hit_rate'] or 0):.1f} %",
                dollars(group["cost"]["actual"]),
                Text(dollars(theirs), style="green" if same else "red"),
                f"{group['savings']['percent']} %",
            )
        self._console.print(table)

    def savings(self, report: Mapping[str, Any]) -> None:
        """The waterfall."""
        self._console.print(picture(steps(report)))
        self._console.print()

    def where(self, database_url: str) -> None:
        """How to look around afterwards."""
        self._console.print(Text(f"\nexport LLM_LEDGER_DATABASE_URL={database_url}"), soft_wrap=True)
        self._console.print(Text("llm-ledger savings --by model; llm-ledger show gsm8k-001", style="dim"))


def _meaning(event: StoredEvent) -> str:
    if event.type == "batch.submitted":
        data = msgspec.json.decode(event.data)
        return "found: its items carry our nonce" if data["adopted"] else "the provider answered"
    if event.type == "batch.planned":
        count = msgspec.json.decode(event.data)["request_count"]
        return f"{counted(count, 'request')} will travel together"
    return _MEANINGS.get(event.type, "")
