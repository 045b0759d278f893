"""`llm-ledger batches`: a list, each with how far it is and when its next step is due."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING

from llm_ledger.cli.options import Json, Limit
from llm_ledger.cli.output import Column, show_list
from llm_ledger.cli.words import ABSENT, age

if TYPE_CHECKING:
    from ledger.projections import BatchRow

__all__ = ["batches"]

_COLUMNS = (
    Column("id"),
    Column("provider's id", from_width=120),
    Column("status"),
    Column("items", right=True),
    Column("settled", right=True, from_width=90),
    Column("polls", right=True, from_width=130),
    Column("age", right=True),
    Column("next step", right=True, from_width=100),
    Column("note", from_width=150),
)


def batches(limit: Limit = None, json: Json = False) -> None:
    """List batches."""
    from ledger import Ledger, queries
    from ledger.clock import to_micros
    from llm_ledger.cli.documents import batch_document

    with Ledger.open() as ledger:
        now = to_micros(ledger.clock.now())

        def read(most: int | None, newest_first: bool) -> Iterable[BatchRow]:
            return queries.batches(ledger, limit=most, newest_first=newest_first)

        def cells(row: BatchRow) -> Sequence[str]:
            return _cells(row, now)

        show_list(read, _COLUMNS, cells=cells, document=batch_document, json=json, limit=limit)


def _cells(row: BatchRow, now: int) -> Sequence[str]:
    return (
        row.id,
        row.provider_batch_id or ABSENT,
        row.status,
        f"{row.request_count:,}",
        f"{row.settled:,}",
        str(row.polls),
        age((now - row.planned_at) / 1_000_000),
        _next_step(row.due_at, now),
        row.note or "",
    )


def _next_step(due_at: int | None, now: int) -> str:
    if due_at is None:
        return ABSENT
    return f"in {age((due_at - now) / 1_000_000)}" if due_at > now else "due"
