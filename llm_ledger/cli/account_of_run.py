"""What one run came to: how requests ended in it, what it cost and saved."""

from __future__ import annotations

from decimal import Decimal
from typing import Any

from ledger import Ledger
from ledger.pricing import usd_text
from ledger.queries import finished_since, outstanding
from ledger.savings import Period
from ledger.summary import savings
from llm_ledger.cli.words import counted, dollars, percent

__all__ = ["RunAccount"]


class RunAccount:
    """Opened before the run, closed after it. Work that other processes did meanwhile counts too."""

    def __init__(self, ledger: Ledger) -> None:
        self._ledger = ledger
        self._began = ledger.clock.now()
        self._before = savings(ledger, Period())["cost"]

    def close(self) -> dict[str, Any]:
        """The document of `run --json`. Money in USD, as the difference that the run made."""
        ended = finished_since(self._ledger, self._began)
        left = outstanding(self._ledger)
        after = savings(self._ledger, Period())["cost"]
        spent = {name: _pico(after[name]) - _pico(self._before[name]) for name in ("actual", "standard_no_cache")}
        return {
            "requests": {name: ended.get(name, 0) for name in ("succeeded", "errored", "abandoned", "canceled")},
            "outstanding": {"requests": left.requests, "batches": left.batches},
            "cost": {**{name: usd_text(amount) for name, amount in spent.items()}, "currency": "USD"},
            "saved": usd_text(spent["standard_no_cache"] - spent["actual"]),
        }

    @staticmethod
    def abandoned(document: dict[str, Any]) -> bool:
        """True if a request was given up in this run, or refused for good."""
        requests = document["requests"]
        return bool(requests["errored"] or requests["abandoned"])

    @staticmethod
    def sentence(document: dict[str, Any]) -> str:
        """The same in one line."""
        requests, left, cost = document["requests"], document["outstanding"], document["cost"]
        failed = requests["errored"] + requests["abandoned"]
        parts = [f"{requests['succeeded']:,} succeeded, {failed:,} failed"]
        if requests["canceled"]:
            parts.append(f"{requests['canceled']:,} canceled")
        if left["requests"] or left["batches"]:
            parts.append(f"{counted(left['requests'], 'request')} left to do")
        if Decimal(cost["standard_no_cache"]):
            share = percent(document["saved"], cost["standard_no_cache"])
            parts.append(f"cost {dollars(cost['actual'])}, saved {dollars(document['saved'])} ({share})")
        return "; ".join(parts)


def _pico(amount: str) -> int:
    return int(Decimal(amount).scaleb(12))
