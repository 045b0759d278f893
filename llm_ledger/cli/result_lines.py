"""The lines of `llm-ledger results`, page by page."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import msgspec

from ledger import Ledger
from ledger.pricing import usd_text
from ledger.queries import requests
from ledger.results import PENDING, Result, results

__all__ = ["ledger_statuses", "result_lines", "results_mode"]

_encode = msgspec.json.Encoder().encode


class _Line(msgspec.Struct, frozen=True, omit_defaults=True):
    custom_id: str
    key: str
    status: str
    result: msgspec.Raw | None
    cost: str | None
    result_purged: bool = False


def ledger_statuses(wanted: Sequence[str]) -> list[str]:
    """The statuses of the ledger that these statuses of results stand for."""
    return [status for name in wanted for status in (PENDING if name == "pending" else (name,))]


def results_mode(key: str | None) -> str | None:
    """Which requests `results` is about: those that were submitted, unless a key says more precisely."""
    return None if key is not None else "batch"


def result_lines(
    ledger: Ledger, *, key: str | None, statuses: Sequence[str] | None, limit: int | None
) -> Iterator[list[bytes]]:
    """Pages of lines. `result` is the stored body byte for byte, null where there is none.

    Where it is null because it was purged, the line says `"result_purged": true`. `cost` is null where nothing was
    billed, and where some of it has no price: half a price would be a lie. Recorded calls have no result here: they
    are listed only if their `key` is asked for.
    """
    chosen = requests(ledger, key=key, statuses=statuses, mode=results_mode(key), limit=limit)
    for page in results(ledger, chosen):
        yield [_line(result) for result in page]


def _line(result: Result) -> bytes:
    line = _Line(
        custom_id=result.row.custom_id,
        key=result.row.key,
        status=result.status,
        result=result.body,
        cost=usd_text(result.cost.figures.actual) if result.cost.complete else None,
        result_purged=result.purged,
    )
    return bytes(_encode(line)) + b"\n"
