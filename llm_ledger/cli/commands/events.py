"""`llm-ledger events`: the log itself."""

from __future__ import annotations

import sys
import time
from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, Annotated, Final

import typer

from llm_ledger.cli.options import Json, Limit
from llm_ledger.cli.output import Column, show_list, write_json, write_text
from llm_ledger.cli.words import plain

if TYPE_CHECKING:
    from ledger import Ledger
    from ledger.queries import StoredEvent

__all__ = ["events"]

_COLUMNS = (
    Column("position", right=True),
    Column("occurred"),
    Column("stream", from_width=110),
    Column("version", right=True, from_width=150),
    Column("type"),
    Column("data", from_width=170),
)
_SHOWN_DATA: Final = 100
_FOLLOW_SECONDS: Final = 0.5


def events(
    stream: Annotated[
        str | None, typer.Option("--stream", metavar="NAME", help="Only this stream, e.g. request/<id>.")
    ] = None,
    after: Annotated[int, typer.Option("--after", min=0, metavar="N", help="Only events beyond position N.")] = 0,
    limit: Limit = None,
    follow: Annotated[bool, typer.Option("--follow", help="Wait for further events until interrupted.")] = False,
    json: Json = False,
) -> None:
    """List events in log order."""
    from ledger import Ledger, queries
    from llm_ledger.cli.documents import event_document

    with Ledger.open() as ledger:
        if follow:
            _follow(ledger, stream, after, limit, json)
            return

        def read(most: int | None, newest_first: bool) -> Iterable[StoredEvent]:
            return queries.stored_events(ledger, stream=stream, after=after, limit=most, newest_first=newest_first)

        show_list(read, _COLUMNS, cells=_cells, document=event_document, json=json, limit=limit)


def _follow(ledger: Ledger, stream: str | None, after: int, limit: int | None, json: bool) -> None:
    from ledger import queries
    from llm_ledger.cli.documents import event_document

    left = limit
    while left is None or left > 0:
        page = list(queries.stored_events(ledger, stream=stream, after=after, limit=min(left or 500, 500)))
        for event in page:
            if json:
                write_json(event_document(event))
            else:
                write_text(plain("  ".join(_cells(event))))
        sys.stdout.flush()
        after = page[-1].position if page else after
        left = None if left is None else left - len(page)
        if not page:
            time.sleep(_FOLLOW_SECONDS)


def _cells(event: StoredEvent) -> Sequence[str]:
    data = bytes(event.data).decode()
    return (
        str(event.position),
        f"{event.occurred_at:%Y-%m-%d %H:%M:%S}",
        event.stream_id,
        str(event.version),
        event.type,
        data if len(data) <= _SHOWN_DATA else f"{data[: _SHOWN_DATA - 1]}…",
    )
