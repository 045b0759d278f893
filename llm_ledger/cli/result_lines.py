"""The lines of `llm-ledger results`, page by page."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Final

import msgspec

from ledger import Ledger
from ledger.payloads import PayloadPurged, read_payloads
from ledger.pricing import usd_text
from ledger.projections import RequestRow
from ledger.queries import billed_items, requests
from llm_ledger.cli.costs import Cost, cost_of, paged

__all__ = ["ledger_statuses", "result_lines", "result_purged", "stored_body"]

_PENDING: Final = ("queued", "batched", "called", "failed", "fallback", "calling")

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
    return [status for name in wanted for status in (_PENDING if name == "pending" else (name,))]


def result_lines(
    ledger: Ledger, *, key: str | None, statuses: Sequence[str] | None, limit: int | None
) -> Iterator[list[bytes]]:
    """Pages of lines. `result` is the stored body byte for byte, null where there is none.

    Where it is null because it was purged, the line says `"result_purged": true`. `cost` is null where nothing was
    billed, and where some of it has no price: half a price would be a lie.
    """
    for page in paged(requests(ledger, key=key, statuses=statuses, limit=limit)):
        billed = billed_items(ledger, [row.id for row in page])
        bodies = _bodies(ledger, page)
        yield [_line(row, cost_of(billed.get(row.id, ())), bodies) for row in page]


def stored_body(ledger: Ledger, digest: bytes | None) -> msgspec.Raw | None:
    """One body as it is stored, None if there is none (any more)."""
    try:
        return msgspec.Raw(ledger.payload(digest)) if digest else None
    except PayloadPurged:
        return None


def result_purged(row: RequestRow, result: object) -> bool:
    """True if no result is at hand of a request whose bodies were kept once."""
    return result is None and bool(row.result and row.payload)


def _bodies(ledger: Ledger, page: Sequence[RequestRow]) -> dict[bytes, msgspec.Raw]:
    digests = [row.result for row in page if row.result]
    try:
        with ledger.read() as connection:
            return {digest: msgspec.Raw(body) for digest, body in read_payloads(connection, digests).items()}
    except PayloadPurged:  # at least one is gone: look for each by itself
        found = {digest: stored_body(ledger, digest) for digest in digests}
        return {digest: body for digest, body in found.items() if body is not None}


def _line(row: RequestRow, cost: Cost, bodies: dict[bytes, msgspec.Raw]) -> bytes:
    result = bodies.get(row.result or b"")
    line = _Line(
        custom_id=row.custom_id,
        key=row.key,
        status="pending" if row.status in _PENDING else row.status,
        result=result,
        cost=usd_text(cost.figures.actual) if cost.complete else None,
        result_purged=result_purged(row, result),
    )
    return bytes(_encode(line)) + b"\n"
