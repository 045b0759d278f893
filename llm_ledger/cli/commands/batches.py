"""`llm-ledger batches`: a list, each with how far it is and when its next step is due; or those in trouble."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator, Sequence
from itertools import islice
from typing import TYPE_CHECKING, Annotated, Final

import typer

from llm_ledger.cli.guard import ExitCode
from llm_ledger.cli.options import Json, Limit
from llm_ledger.cli.output import Column, show_list, write_json, write_text
from llm_ledger.cli.words import ABSENT, age, plain

if TYPE_CHECKING:
    from ledger import Ledger
    from ledger.projections import BatchRow
    from scheduler.providers.base import Account

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


_IN_TROUBLE: Final = ExitCode.ABANDONED  # like a run that leaves something behind: somebody has to look


def batches(
    limit: Limit = None,
    check: Annotated[
        bool, typer.Option("--check", help="Only what somebody should look at, a line each; exit code 1 if any.")
    ] = False,
    json: Json = False,
) -> ExitCode:
    """List batches.

    With --check those that go badly, that wait for another account's key, whose submission is uncertain for more
    than a day, or whose results will soon be kept no longer. Needs no key.
    """
    from ledger import Ledger

    with Ledger.open() as ledger:
        if check:
            return _check(ledger, limit, json=json)
        _list(ledger, limit, json=json)
    return ExitCode.DONE


def _check(ledger: Ledger, limit: int | None, *, json: bool) -> ExitCode:
    from llm_ledger.cli.documents import batch_document

    found = list(islice(_concerns(ledger), limit))
    for row, said in found:
        if json:
            write_json({**batch_document(row), "concern": said})
        else:
            write_text(plain(f"batch {row.id} ({row.status}): {said}"))
    if not found and not json:
        write_text("no batch needs anybody's attention")
    return _IN_TROUBLE if found else ExitCode.DONE


def _concerns(ledger: Ledger) -> Iterator[tuple[BatchRow, str]]:
    from ledger.events import batch_stream
    from ledger.queries import active_batches
    from scheduler import providers
    from scheduler.concerns import concern

    now = ledger.clock.now()
    for row in sorted(active_batches(ledger), key=lambda row: row.seq):
        (latest,) = ledger.events(stream=batch_stream(row.id), newest_first=True, limit=1)
        kept_seconds = providers.rules(row.provider).limits.results_kept_seconds
        if said := concern(row, latest.data, now, kept_seconds, _account(row.provider)):
            yield row, said


def _account(provider: str) -> Account | None:
    """The account of the present key, None where there is none to be had."""
    from ledger.errors import ConfigurationError
    from scheduler import providers

    try:
        return providers.provider(provider, providers.settings(provider, os.environ, timeout_seconds=1.0)).account()
    except ConfigurationError:
        return None


def _list(ledger: Ledger, limit: int | None, *, json: bool) -> None:
    from ledger import queries
    from ledger.clock import to_micros
    from llm_ledger.cli.documents import batch_document

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
