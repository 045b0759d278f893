"""`llm-ledger retry`: requests that ended without an answer go back into the queue."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from typing import TYPE_CHECKING, Annotated

import typer

from llm_ledger.cli.guard import say
from llm_ledger.cli.options import Json, Key
from llm_ledger.cli.output import write_json, write_text
from llm_ledger.cli.words import counted, plain

if TYPE_CHECKING:
    from ledger import Ledger
    from ledger.projections import RequestRow

__all__ = ["retry"]


def retry(
    wanted: Annotated[
        list[str] | None, typer.Argument(metavar="ID…", help="Ids of requests, their beginnings, or custom_ids.")
    ] = None,
    key: Key = None,
    all_abandoned: Annotated[
        bool, typer.Option("--all-abandoned", help="Every request that was given up (with --key: under that key).")
    ] = False,
    yes: Annotated[
        bool, typer.Option("--yes", "-y", help="Also what may be paid for twice, without asking.")
    ] = False,
    json: Json = False,
) -> None:
    """Queue requests again that ended without an answer; those that wait for their retry are due at once.

    A request whose cost is unknown may have been answered and billed unseen: that is asked about first.
    """
    from ledger import Ledger
    from ledger.costs import with_costs
    from ledger.errors import InputError
    from llm_ledger.cli.documents import request_document
    from scheduler.by_hand import retry_requests

    if bool(wanted) == all_abandoned:
        raise InputError("name requests, or give --all-abandoned")
    with Ledger.open() as ledger:
        pages = list(_abandoned(ledger, key) if all_abandoned else _named(ledger, wanted or [], key))
        paid_twice = yes or _confirmed(ledger, pages)
        for page in pages:
            opened = retry_requests(ledger, page, ledger.clock.now(), paid_twice=paid_twice)
            for row, cost in with_costs(ledger, opened):
                if json:
                    write_json(request_document(row, cost))
                else:
                    write_text(plain(f"request {row.custom_id} is in the queue again"))
    if not json:
        say(f"{counted(sum(map(len, pages)), 'request')} queued; `llm-ledger run` sends them")


def _named(ledger: Ledger, names: list[str], key: str | None) -> Iterator[list[RequestRow]]:
    """All of them on one page: all are queued, or none."""
    from ledger.queries import find_request

    rows = (find_request(ledger, name.removeprefix("request/"), key=key) for name in names)
    yield list({row.id: row for row in rows}.values())


def _abandoned(ledger: Ledger, key: str | None) -> Iterator[list[RequestRow]]:
    """Those that were given up and can be sent again; of the others it is said how many there are."""
    from ledger.costs import paged
    from ledger.queries import requests
    from scheduler.by_hand import held

    purged = 0
    for page in paged(requests(ledger, key=key, statuses=("abandoned",))):
        there = [row for row in held(ledger, page) if row.mode == "batch"]
        purged += len(page) - len(there)
        if there:
            yield there
    if purged:
        say(f"{counted(purged, 'request')} cannot be sent again: the params were purged")


def _confirmed(ledger: Ledger, pages: list[list[RequestRow]]) -> bool:
    """Ask whether paying twice is accepted, where it may come to that and somebody is there to answer.

    Raises `MayBePaid` if the answer is no, or nobody is there.
    """
    from scheduler.by_hand import MayBePaid, perhaps_paid

    unclear = [request_id for page in pages for request_id in perhaps_paid(ledger, page)]
    if not unclear:
        return False
    question = f"{counted(len(unclear), 'request')} may have been answered and billed unseen; pay perhaps twice?"
    try:
        accepted = sys.stdin.isatty() and typer.confirm(question, err=True)
    except typer.Abort:
        accepted = False
    if not accepted:
        raise MayBePaid(unclear)
    return True
