"""Standard calls: messages, token counting, models."""

from __future__ import annotations

import asyncio
from hashlib import blake2b
from typing import Any

import msgspec
from starlette.requests import Request as HttpRequest
from starlette.responses import Response, StreamingResponse
from starlette.routing import Route

from llm_ledger.simulator.catalogue import MODELS, find_model, model_page
from llm_ledger.simulator.clock import SECOND
from llm_ledger.simulator.errors import invalid, not_found
from llm_ledger.simulator.events import stream_events
from llm_ledger.simulator.exchange import caller, json_answer, page_limits, provider_of, read_json
from llm_ledger.simulator.inference import Occasion
from llm_ledger.simulator.outcomes import ACCIDENTS
from llm_ledger.simulator.provider import Provider
from llm_ledger.simulator.validation import Request, check

__all__ = ["MESSAGE_ROUTES"]

_MOST_BYTES = 32_000_000
_PATIENCE = 2.0


async def _create(request: HttpRequest) -> Response:
    account, version = caller(request)
    params = await read_json(request, most=_MOST_BYTES)
    checked = check(params, version=version, endpoint="messages")
    provider = provider_of(request)
    await provider.processing.catch_up(_PATIENCE)
    message = _answer(provider, account, checked)
    await _think(provider)
    if params.get("stream"):
        return StreamingResponse(stream_events(message), media_type="text/event-stream")
    return json_answer(message)


def _answer(provider: Provider, account: str, checked: Request) -> dict[str, Any]:
    digest = blake2b(msgspec.json.encode(checked.params), digest_size=16).digest()
    accident = provider.accidents.of_call(account, checked.params, digest)
    refused = ACCIDENTS[accident] if accident else None
    if refused is not None:
        raise refused.again()
    now = provider.clock.now()
    occasion = Occasion(
        account=account,
        message_id=provider.new_id("msg"),
        at=now,
        priced_at=now + int(provider.config.first_token_seconds * SECOND),
    )
    return provider.inference.answer(checked, occasion)


async def _think(provider: Provider) -> None:
    seconds = provider.config.first_token_seconds
    if seconds and provider.clock.scale:
        await asyncio.sleep(seconds / provider.clock.scale)


async def _count_tokens(request: HttpRequest) -> Response:
    _, version = caller(request)
    params = await read_json(request, most=_MOST_BYTES)
    checked = check(params, version=version, endpoint="count_tokens")
    return json_answer({"input_tokens": checked.prompt.tokens})


async def _list_models(request: HttpRequest) -> Response:
    caller(request)
    limit, after, before = page_limits(request)
    ids = list(MODELS)
    for cursor in filter(None, (after, before)):
        if cursor not in ids:
            raise invalid(f"no model {cursor}")
    if after:
        ids = ids[ids.index(after) + 1 :]
    elif before:
        ids = ids[: ids.index(before)]
    shown = ids[-limit:] if before and not after else ids[:limit]
    return json_answer(
        {
            "data": [model_page(MODELS[model_id]) for model_id in shown],
            "has_more": len(ids) > len(shown),
            "first_id": shown[0] if shown else None,
            "last_id": shown[-1] if shown else None,
        }
    )


async def _retrieve_model(request: HttpRequest) -> Response:
    caller(request)
    model = find_model(request.path_params["model_id"])
    if model is None:
        raise not_found(f"model: {request.path_params['model_id']}")
    return json_answer(model_page(model))


MESSAGE_ROUTES = [
    Route("/v1/messages", _create, methods=["POST"]),
    Route("/v1/messages/count_tokens", _count_tokens, methods=["POST"]),
    Route("/v1/models", _list_models, methods=["GET"]),
    Route("/v1/models/{model_id}", _retrieve_model, methods=["GET"]),
]
