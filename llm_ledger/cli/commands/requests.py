"""`llm-ledger requests`: a list, each with its tokens, its cost and what it would have cost."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from enum import StrEnum
from typing import TYPE_CHECKING, Annotated, Any

import typer

from llm_ledger.cli.options import Json, Key, Limit
from llm_ledger.cli.output import Column, show_list
from llm_ledger.cli.words import clock, dollars

if TYPE_CHECKING:
    from ledger.costs import Cost
    from ledger.projections import RequestRow

__all__ = ["RequestStatus", "requests"]

_COLUMNS = (
    Column("custom_id"),
    Column("key", from_width=130),
    Column("status"),
    Column("model", from_width=90),
    Column("tries", right=True, from_width=140),
    Column("input", right=True, from_width=110),
    Column("cached", right=True, from_width=110),
    Column("output", right=True, from_width=110),
    Column("cost", right=True),
    Column("standard, no cache", right=True),
    Column("recorded", from_width=150),
    Column("finished", from_width=175),
    Column("id", from_width=215),
)


class RequestStatus(StrEnum):
    """Every status a request can be in."""

    QUEUED = "queued"
    BATCHED = "batched"
    CALLED = "called"
    FAILED = "failed"
    EXPIRED = "expired"
    SUCCEEDED = "succeeded"
    ERRORED = "errored"
    CANCELED = "canceled"
    ABANDONED = "abandoned"


def requests(
    key: Key = None,
    status: Annotated[
        list[RequestStatus] | None, typer.Option("--status", help="Only requests in this status; repeatable.")
    ] = None,
    batch: Annotated[str | None, typer.Option("--batch", metavar="ID", help="Only items of this batch.")] = None,
    limit: Limit = None,
    json: Json = False,
) -> None:
    """List requests, with what they cost and would have cost. The costs add up to `savings` exactly."""
    from ledger import Ledger, queries
    from ledger.costs import with_costs
    from llm_ledger.cli.documents import request_document

    with Ledger.open() as ledger:
        batch_id = queries.batch(ledger, batch).id if batch is not None else None
        statuses = [str(one) for one in status] if status else None

        def read(most: int | None, newest_first: bool) -> Iterable[tuple[RequestRow, Cost]]:
            chosen = queries.requests(
                ledger, key=key, statuses=statuses, batch_id=batch_id, limit=most, newest_first=newest_first
            )
            return with_costs(ledger, chosen)

        def document(entry: tuple[RequestRow, Cost]) -> Any:
            return request_document(*entry)

        show_list(read, _COLUMNS, cells=_cells, document=document, json=json, limit=limit)


def _cells(entry: tuple[RequestRow, Cost]) -> Sequence[str]:
    row, cost = entry
    tokens, money = cost.tokens, cost.money()
    return (
        row.custom_id,
        row.key,
        row.status,
        row.response_model or row.model,
        str(row.attempts),
        f"{tokens.prompt:,}",
        f"{tokens.read:,}",
        f"{tokens.output:,}",
        dollars(money["cost"]),
        dollars(money["standard_no_cache"]),
        clock(row.recorded_at),
        clock(row.finished_at),
        row.id,
    )
