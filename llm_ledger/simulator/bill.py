"""What the provider charges: one tally per account, model, tier and batch, added up on demand."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

from llm_ledger.simulator.prices import Usage, dollars

__all__ = ["Bill", "Line"]

_TOKENS = ("uncached_input", "cache_write_5m", "cache_write_1h", "cache_read", "output")


class Line(NamedTuple):
    """What one answer is charged under. `batch` is a batch id, None for a call."""

    account: str
    model: str
    batch: str | None


class _Tally:
    __slots__ = ("pico", "requests", "tokens", "web_searches")

    def __init__(self) -> None:
        self.requests = 0
        self.pico = 0
        self.tokens = [0, 0, 0, 0, 0]
        self.web_searches = 0

    def add(self, other: _Tally) -> None:
        self.requests += other.requests
        self.pico += other.pico
        self.tokens = [mine + theirs for mine, theirs in zip(self.tokens, other.tokens, strict=True)]
        self.web_searches += other.web_searches

    def charge(self, usage: Usage, pico: int, answers: int) -> None:
        self.requests += answers
        self.pico += pico
        columns = (usage.uncached, usage.write_5m, usage.write_1h, usage.read, usage.output)
        for index, tokens in enumerate(columns):
            self.tokens[index] += tokens
        self.web_searches += usage.web_searches

    def show(self) -> dict[str, Any]:
        return {
            "total": dollars(self.pico),
            "total_pico_usd": self.pico,
            "requests": self.requests,
            "tokens": dict(zip(_TOKENS, self.tokens, strict=True)),
            "web_searches": self.web_searches,
        }


class Bill:
    """Every charge since the start or the last reset."""

    def __init__(self) -> None:
        self._tallies: dict[Line, _Tally] = {}

    def charge(self, line: Line, usage: Usage, pico: int, *, answers: int) -> None:
        """Add an answered request, or with no `answers` work done around one; `pico` is its cost in pico-USD."""
        tally = self._tallies.get(line)
        if tally is None:
            tally = self._tallies[line] = _Tally()
        tally.charge(usage, pico, answers)

    def show(self) -> dict[str, Any]:
        """Totals in USD (exact decimal strings) and pico-USD; every grouping adds up to the total by itself."""
        return {
            "currency": "USD",
            **self._total().show(),
            "models": self._grouped(lambda line: line.model),
            "accounts": self._grouped(lambda line: line.account),
            "tiers": self._grouped(lambda line: "batch" if line.batch else "standard"),
            "batches": self._grouped(lambda line: line.batch),
        }

    def _total(self) -> _Tally:
        total = _Tally()
        for tally in self._tallies.values():
            total.add(tally)
        return total

    def _grouped(self, group_of: Callable[[Line], str | None]) -> dict[str, dict[str, Any]]:
        groups: dict[str, _Tally] = {}
        for line, tally in self._tallies.items():
            group = group_of(line)
            if group is not None:
                groups.setdefault(group, _Tally()).add(tally)
        return {group: tally.show() for group, tally in sorted(groups.items())}
