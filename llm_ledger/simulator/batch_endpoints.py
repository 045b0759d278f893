"""The six endpoints of the Batch API."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterator
from hashlib import sha256
from itertools import islice
from typing import Any

from starlette.requests import Request
from starlette.responses import Response, StreamingResponse
from starlette.routing import Route

from llm_ledger.simulator.batch import RESULTS_KEPT, Batch
from llm_ledger.simulator.clock import SECOND
from llm_ledger.simulator.errors import invalid, not_found
from llm_ledger.simulator.exchange import as_of, caller, fault_of, json_answer, page_limits, provider_of, read_body
from llm_ledger.simulator.faults import LINE_FAULTS, Fault
from llm_ledger.simulator.intake import read_items
from llm_ledger.simulator.result_faults import miscounted, spoiled

__all__ = ["BATCH_ROUTES"]

_PATIENCE = 2.0
_LINES_AT_ONCE = 200


async def _create(request: Request) -> Response:
    account, version = caller(request)
    provider = provider_of(request)
    body = await read_body(request, most=provider.config.max_body_bytes)
    items = await read_items(body, most=provider.config.max_batch_items)
    digest = await asyncio.to_thread(lambda: sha256(body).hexdigest())
    batch = provider.create_batch(account, version, items, digest)
    request.state.made.append(batch.id)
    return json_answer(_show(request, batch))


async def _list(request: Request) -> Response:
    account, _ = caller(request)
    limit, after, before = page_limits(request)
    provider = provider_of(request)
    await provider.processing.catch_up(_PATIENCE)
    page = provider.batches.page(account, as_of(request), limit=limit, after=after, before=before)
    return json_answer(
        {
            "data": [_show(request, batch) for batch in page.batches],
            "has_more": page.has_more,
            "first_id": page.batches[0].id if page.batches else None,
            "last_id": page.batches[-1].id if page.batches else None,
        }
    )


async def _retrieve(request: Request) -> Response:
    return json_answer(_show(request, await _find(request)))


async def _cancel(request: Request) -> Response:
    batch = await _find(request)
    provider = provider_of(request)
    now = provider.clock.now()
    if batch.ended(now):
        raise invalid(f"Message batch {batch.id} has ended and cannot be canceled.")
    batch.cancel(now, int(provider.config.cancel_seconds * SECOND))
    return json_answer(_show(request, batch))


async def _delete(request: Request) -> Response:
    batch = await _find(request)
    if not batch.ended(provider_of(request).clock.now()):
        raise invalid(f"Message batch {batch.id} is still being processed: cancel it before it is deleted.")
    batch.delete(provider_of(request).clock.now())
    return json_answer({"id": batch.id, "type": "message_batch_deleted"})


async def _results(request: Request) -> Response:
    batch = await _find(request)
    provider = provider_of(request)
    now = as_of(request)
    if not batch.ended(now) or now < batch.ends + int(provider.config.results_after_seconds * SECOND):
        raise not_found(f"Message batch {batch.id} has no available results.")
    if now >= batch.created + RESULTS_KEPT:
        raise not_found(f"Message batch {batch.id} is archived, its results are no longer available.")
    lines = _lines(batch, provider.config.seed, fault_of(request))
    return StreamingResponse(lines, media_type="application/x-jsonl")


async def _lines(batch: Batch, seed: int, fault: Fault | None) -> AsyncIterator[bytes]:
    lines: Iterator[bytes] = (batch.lines[index] for index in batch.shuffled(seed))
    if fault is not None and fault.kind in LINE_FAULTS:
        lines = spoiled(lines, batch.size, fault)
    while page := b"".join(islice(lines, _LINES_AT_ONCE)):
        yield page


async def _find(request: Request) -> Batch:
    """The batch that the path names, brought up to the present instant."""
    account, _ = caller(request)
    provider = provider_of(request)
    await provider.processing.catch_up(_PATIENCE)
    batch = provider.batches.find(account, request.path_params["batch_id"], as_of(request))
    fault = fault_of(request)
    if fault is not None and fault.kind == "vanish":
        batch.delete(provider.clock.now())
        raise not_found(f"Message batch {batch.id} not found.")
    return batch


def _show(request: Request, batch: Batch) -> dict[str, Any]:
    results_url = f"{request.base_url}v1/messages/batches/{batch.id}/results"
    shown = batch.show(as_of(request), results_url)
    fault = fault_of(request)
    return miscounted(shown, fault.off_by) if fault is not None and fault.kind == "wrong_counts" else shown


BATCH_ROUTES = [
    Route("/v1/messages/batches", _create, methods=["POST"]),
    Route("/v1/messages/batches", _list, methods=["GET"]),
    Route("/v1/messages/batches/{batch_id}", _retrieve, methods=["GET"]),
    Route("/v1/messages/batches/{batch_id}", _delete, methods=["DELETE"]),
    Route("/v1/messages/batches/{batch_id}/cancel", _cancel, methods=["POST"]),
    Route("/v1/messages/batches/{batch_id}/results", _results, methods=["GET"]),
]
