"""The simulated provider as a Starlette application."""

from __future__ import annotations

import asyncio

from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.middleware import Middleware
from starlette.requests import Request
from starlette.responses import Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from llm_ledger.simulator.batch_endpoints import BATCH_ROUTES
from llm_ledger.simulator.clock import http_date
from llm_ledger.simulator.config import SimulatorConfig
from llm_ledger.simulator.control_endpoints import CONTROL_ROUTES
from llm_ledger.simulator.errors import ApiError
from llm_ledger.simulator.exchange import refusal
from llm_ledger.simulator.message_endpoints import MESSAGE_ROUTES
from llm_ledger.simulator.misbehaviour import Misbehaviour
from llm_ledger.simulator.provider import Provider

__all__ = ["create_app"]


def create_app(config: SimulatorConfig | None = None) -> Starlette:
    """The application: the provider's endpoints under `/v1`, the simulator's own under `/_simulator`.

    Its `state.provider` is the provider; set `state.stopping` to let hanging answers go before a shutdown.
    """
    provider = Provider(config or SimulatorConfig())
    stopping = asyncio.Event()
    app = Starlette(
        # Batches first: `/v1/messages/batches` is no id of anything.
        routes=[*BATCH_ROUTES, *MESSAGE_ROUTES, *CONTROL_ROUTES],
        middleware=[
            Middleware(_Envelope, provider=provider),
            Middleware(Misbehaviour, provider=provider, refuse=refusal, stopping=stopping),
        ],
        exception_handlers={ApiError: _refused, HTTPException: _refused, Exception: _refused},
    )
    app.state.provider = provider
    app.state.stopping = stopping
    return app


class _Envelope:
    """Gives every request its id; every answer that id, the provider's date and the caller's organization."""

    def __init__(self, app: ASGIApp, provider: Provider) -> None:
        self._app = app
        self._provider = provider

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        request_id = self._provider.new_id("req")
        scope.setdefault("state", {})["request_id"] = request_id

        def stamp(start: Message) -> Message:
            date = http_date(self._provider.clock.now())
            stamps = [(b"request-id", request_id.encode()), (b"date", date.encode())]
            if "organization" in scope["state"]:
                stamps.append((b"anthropic-organization-id", scope["state"]["organization"].encode()))
            return {**start, "headers": [*start["headers"], *stamps]}

        async def send_stamped(message: Message) -> None:
            await send(stamp(message) if message["type"] == "http.response.start" else message)

        scope["state"]["stamp"] = stamp
        await self._app(scope, receive, send_stamped)


async def _refused(request: Request, error: Exception) -> Response:
    match error:
        case ApiError():
            refused = error
        case HTTPException():
            refused = ApiError(error.status_code, f"{request.method} {request.url.path} is not available")
        case _:
            refused = ApiError(500, "Internal server error")
    return refusal(refused, request.state.request_id)
