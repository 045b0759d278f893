"""`llm-ledger cancel`: a request that is not with the provider yet, or a whole batch."""

from __future__ import annotations

import os
from contextlib import closing
from typing import TYPE_CHECKING, Annotated

import typer

from llm_ledger.cli.options import Json, Key
from llm_ledger.cli.output import write_json, write_text
from llm_ledger.cli.words import counted, plain

if TYPE_CHECKING:
    from ledger.projections import BatchRow

__all__ = ["cancel"]


def cancel(
    wanted: Annotated[
        str,
        typer.Argument(
            metavar="ID", help="A request's or batch's id or its beginning, a custom_id, or the provider's batch id."
        ),
    ],
    key: Key = None,
    reason: Annotated[str, typer.Option("--reason", metavar="TEXT", help="Why; it goes on record.")] = "by hand",
    json: Json = False,
) -> None:
    """Cancel a request that waits, or a batch: a planned one at once, one in progress by asking the provider.

    What was answered by then is billed and kept. A key is needed for a batch in progress only.
    """
    from ledger import Ledger
    from ledger.costs import with_costs
    from ledger.projections import BatchRow
    from llm_ledger.cli.documents import batch_document, request_document
    from llm_ledger.cli.named import named
    from scheduler import Context, SchedulerSettings, providers
    from scheduler.by_hand import cancel_batch, cancel_request

    settings = SchedulerSettings.from_env()
    policy = settings.policy()
    with Ledger.open() as ledger:
        row = named(ledger, wanted, key=key)
        of_provider = providers.settings(row.provider, os.environ, timeout_seconds=settings.http_timeout_seconds)
        with closing(providers.provider(row.provider, of_provider)) as provider:
            context = Context(ledger=ledger, provider=provider, policy=lambda: policy)
            if isinstance(row, BatchRow):
                batch = cancel_batch(context, row, reason)
                document, told = batch_document(batch), _sentence(batch)
            else:
                request = cancel_request(context, row, reason)
                ((_, cost),) = with_costs(ledger, [request])
                document, told = request_document(request, cost), f"request {request.custom_id} is canceled"
    if json:
        write_json(document)
    else:
        write_text(plain(told))


def _sentence(batch: BatchRow) -> str:
    requests = counted(batch.request_count, "request")
    if batch.status == "failed":
        return f"batch {batch.id} is canceled, and its {requests} with it"
    return (
        f"the provider was asked to stop batch {batch.id}; of its {requests} those that are not answered by then "
        "end as canceled: `llm-ledger run` sees to it"
    )
