"""How requests of a batch ended, in the provider's own words."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from typing import Any, Final

import msgspec
from sqlalchemy import bindparam

from ledger import Ledger, schema
from ledger.projections import RequestRow, select_requests
from ledger.results import Result, results
from llm_optimization.exceptions import BatchItemFailed
from scheduler.by_hand import perhaps_paid

__all__ = ["Outcome", "outcomes_of", "read_outcomes"]

_PAGE: Final = 500
_ENDED_WITHOUT_ANSWER: Final = frozenset({"errored", "canceled", "abandoned"})

_NAMED: Final = (
    select_requests()
    .where(schema.requests.c.key == bindparam("key"))
    .where(schema.requests.c.custom_id.in_(bindparam("custom_ids", expanding=True)))
)


class _Body(msgspec.Struct):
    message: dict[str, Any] | None = None


_body = msgspec.json.Decoder(_Body).decode


class Outcome(msgspec.Struct, frozen=True):
    """How one request ended. `status`: succeeded, errored, expired, canceled, abandoned, or pending while it has not.

    `message` is the provider's own message object of a success. `error_type` and `error_message` are the provider's
    words of a failure, or ours where nothing was sent. `beta`: it was asked under betas. `may_be_paid`: it ended
    without an answer that anybody has, and with costs that nobody knows, so that to repeat it may be to pay twice.
    """

    custom_id: str
    status: str
    message: dict[str, Any] | None = None
    error_type: str | None = None
    error_message: str | None = None
    beta: bool = False
    may_be_paid: bool = False

    @property
    def failure(self) -> BatchItemFailed | None:
        """What it failed of; None where there is a message."""
        if self.message is not None:
            return None
        return BatchItemFailed(
            self.custom_id, self.status, self.error_type, self.error_message, may_be_paid=self.may_be_paid
        )


def outcomes_of(ledger: Ledger, rows: Iterable[RequestRow]) -> Iterator[tuple[Result, Outcome]]:
    """The results of these requests in their order, in pages, each with the outcome that it amounts to."""
    for page in results(ledger, rows):
        unclear = set(perhaps_paid(ledger, [one.row for one in page if one.row.status in _ENDED_WITHOUT_ANSWER]))
        for result in page:
            yield result, _outcome(result, may_be_paid=result.row.id in unclear)


def read_outcomes(ledger: Ledger, key: str, custom_ids: Sequence[str]) -> dict[str, Outcome]:
    """The outcomes of these requests as things stand, by custom id. What is not on record is left out."""
    found: dict[str, Outcome] = {}
    for start in range(0, len(custom_ids), _PAGE):
        place = {"key": key, "custom_ids": list(custom_ids[start : start + _PAGE])}
        with ledger.read() as connection:
            rows = [RequestRow(*row) for row in connection.execute(_NAMED, place)]
        found.update((outcome.custom_id, outcome) for _, outcome in outcomes_of(ledger, rows))
    return found


def _outcome(result: Result, *, may_be_paid: bool) -> Outcome:
    row = result.row
    if result.status == "succeeded":
        if result.body is not None:
            return Outcome(row.custom_id, "succeeded", _body(result.body).message, beta=bool(row.betas))
        return Outcome(row.custom_id, "succeeded", None, None, "its answer is not kept in the ledger any more")
    return Outcome(row.custom_id, result.status, None, row.error_type, row.error_message, may_be_paid=may_be_paid)
