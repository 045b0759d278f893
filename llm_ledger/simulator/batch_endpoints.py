"""The six endpoints of the Batch API."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from hashlib import sha256
from typing import Any

from starlette.requests import Request
from starlette.responses import Response, StreamingResponse
from starlette.routing import Route

from llm_ledger.simulator.batch import RESULTS_KEPT, Batch
from llm_ledger.simulator.clock import SECOND
from llm_ledger.simulator.errors import invalid, not_found
from llm_ledger.simulator.exchange import caller, json_answer, page_limits, provider_of, read_body
from llm_ledger.simulator.intake import read_items

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
    return json_answer(_show(request, batch))


async def _list(request: Request) -> Response:
    account, _ = caller(request)
    limit, after, before = page_limits(request)
    provider = provider_of(request)
    await provider.processing.catch_up(_PATIENCE)
    now = provider.clock.now()
    page = provider.batches.page(account, now, limit=limit, after=after, before=before)
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
    batch.deleted = True
    return json_answer({"id": batch.id, "type": "message_batch_deleted"})


async def _results(request: Request) -> Response:
    batch = await _find(request)
    provider = provider_of(request)
    now = provider.clock.now()
    if not batch.ended(now) or now < batch.ends + int(provider.config.results_after_seconds * SECOND):
        raise not_found(f"Message batch {batch.id} has no available results.")
    if now >= batch.created + RESULTS_KEPT:
        raise not_found(f"Message batch {batch.id} is archived, its results are no longer available.")
    return StreamingResponse(_lines(batch, provider.config.seed), media_type="application/x-jsonl")


async def _lines(batch: Batch, seed: int) -> AsyncIterator[bytes]:
    order = batch.shuffled(seed)
    for begin in range(0, batch.size, _LINES_AT_ONCE):
        yield b"".join(batch.lines[index] for index in order[begin : begin + _LINES_AT_ONCE])


async def _find(request: Request) -> Batch:
    """The batch that the path names, brought up to the present instant."""
    account, _ = caller(request)
    provider = provider_of(request)
    await provider.processing.catch_up(_PATIENCE)
    return provider.batches.find(account, request.path_params["batch_id"], provider.clock.now())


def _show(request: Request, batch: Batch) -> dict[str, Any]:
    results_url = f"{request.base_url}v1/messages/batches/{batch.id}/results"
    return batch.show(provider_of(request).clock.now(), results_url)


BATCH_ROUTES = [
    Route("/v1/messages/batches", _create, methods=["POST"]),
    Route("/v1/messages/batches", _list, methods=["GET"]),
    Route("/v1/messages/batches/{batch_id}", _retrieve, methods=["GET"]),
    Route("/v1/messages/batches/{batch_id}", _delete, methods=["DELETE"]),
    Route("/v1/messages/batches/{batch_id}/cancel", _cancel, methods=["POST"]),
    Route("/v1/messages/batches/{batch_id}/results", _results, methods=["GET"]),
]
