"""What became of requests: how each ended, the provider's answer as it is stored, and what it cost."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from typing import Final

import msgspec

from ledger.costs import Cost, cost_of, paged
from ledger.ledger import Ledger
from ledger.payloads import PayloadPurged, read_payloads
from ledger.projections import RequestRow
from ledger.queries import billed_items

__all__ = ["PENDING", "Result", "result_purged", "results", "stored_body"]

PENDING: Final = ("queued", "batched", "called", "failed", "fallback", "calling")
"""Statuses of requests that have no outcome yet: to who asks for results, all of them are `pending`."""


class Result(msgspec.Struct, frozen=True):
    """One request's. `body` is the provider's own result byte for byte, None where there is none (any more)."""

    row: RequestRow
    body: msgspec.Raw | None
    cost: Cost

    @property
    def status(self) -> str:
        """succeeded, errored, expired, canceled, abandoned or pending."""
        return "pending" if self.row.status in PENDING else self.row.status

    @property
    def purged(self) -> bool:
        """True if it had a body that was purged."""
        return result_purged(self.row, self.body)


def results(ledger: Ledger, rows: Iterable[RequestRow]) -> Iterator[list[Result]]:
    """The results of these requests in their order, page by page, in bounded memory."""
    for page in paged(rows):
        billed = billed_items(ledger, [row.id for row in page])
        bodies = _bodies(ledger, page)
        yield [Result(row, bodies.get(row.result or b""), cost_of(billed.get(row.id, ()))) for row in page]


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
