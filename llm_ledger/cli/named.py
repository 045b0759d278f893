"""What people name by an id, a beginning of one, a custom_id or the provider's batch id: a request or a batch."""

from __future__ import annotations

from functools import partial

from ledger import Ledger
from ledger.errors import UnknownId
from ledger.projections import BatchRow, RequestRow
from ledger.queries import batch, find_request

__all__ = ["named"]


def named(ledger: Ledger, wanted: str, *, key: str | None = None) -> RequestRow | BatchRow:
    """The one thing of that name; `request/ID` and `batch/ID` say which kind is meant, `key` prefers a request.

    A whole name goes before a mere beginning. Raises `UnknownId`, also where both a request and a batch are meant.
    """
    kind, _, name = wanted.rpartition("/")
    if kind == "request":
        return find_request(ledger, name, key=key)
    if kind == "batch":
        return batch(ledger, name)
    found: list[RequestRow | BatchRow] = []
    missing: list[UnknownId] = []
    for look in (partial(find_request, key=key), batch):
        try:
            found.append(look(ledger, wanted))
        except UnknownId as error:
            missing.append(error)
    whole = [row for row in found if wanted in _whole_names(row)]
    candidates = whole or found
    if not whole and (several := next((error for error in missing if error.several), None)) is not None:
        raise several
    if not candidates:
        raise missing[-1]
    if len(candidates) > 1 and key is None:
        raise UnknownId(wanted, "both a request and a batch begin like that; give more of the id", several=True)
    return candidates[0]


def _whole_names(row: RequestRow | BatchRow) -> tuple[str | None, ...]:
    if isinstance(row, RequestRow):
        return (row.id, row.custom_id)
    return (row.id, row.provider_batch_id)
