"""Carrying out faults, below the application and above the connection."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from http import HTTPStatus

from starlette.responses import Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from llm_ledger.simulator.errors import ApiError
from llm_ledger.simulator.faults import Fault, Faults, endpoint_of
from llm_ledger.simulator.wire import transport_of, wait_until_gone

__all__ = ["Misbehaviour"]


class Misbehaviour:
    """ASGI middleware: passes requests on, unless a fault was ordered for them.

    `faults` gives the present orders, `refuse` spells an error, `stopping` is set when the server goes down.
    """

    def __init__(
        self,
        app: ASGIApp,
        *,
        faults: Callable[[], Faults],
        refuse: Callable[[ApiError, str | None], Response],
        stopping: asyncio.Event,
    ) -> None:
        self._app = app
        self._faults = faults
        self._refuse = refuse
        self._stopping = stopping

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        endpoint = endpoint_of(scope["method"], scope["path"]) if scope["type"] == "http" else None
        fault = self._faults().take(endpoint) if endpoint else None
        if fault is None:
            await self._app(scope, receive, send)
        else:
            await self._fail(fault, scope, receive, send)

    async def _fail(self, fault: Fault, scope: Scope, receive: Receive, send: Send) -> None:
        if fault.kind == "truncate":
            await self._app(scope, receive, _Truncated(fault, scope, send).send)
            await wait_until_gone(receive)
            return
        if fault.works_first:
            await self._app(scope, receive, _swallow)
        else:
            await _drain(receive)
        if fault.kind == "status":
            error = ApiError(fault.status, fault.message, retry_after=fault.retry_after)
            await self._refuse(error, scope["state"]["request_id"])(scope, receive, send)
            return
        if fault.kind == "hang":
            await self._hang(receive)
        transport_of(scope).abort()
        await wait_until_gone(receive)

    async def _hang(self, receive: Receive) -> None:
        waits = {asyncio.create_task(wait_until_gone(receive)), asyncio.create_task(self._stopping.wait())}
        _, pending = await asyncio.wait(waits, return_when=asyncio.FIRST_COMPLETED)
        for task in pending:
            task.cancel()
        await asyncio.gather(*pending, return_exceptions=True)


async def _swallow(message: Message) -> None:
    """Let an answer go nowhere."""


async def _drain(receive: Receive) -> None:
    """Read the request to its end: a client that is still sending would see another error."""
    message = await receive()
    while message["type"] == "http.request" and message["more_body"]:
        message = await receive()


class _Truncated:
    """Sends the first bytes of a body, then closes the connection."""

    def __init__(self, fault: Fault, scope: Scope, send: Send) -> None:
        self._left = fault.after_bytes
        self._silent = fault.silent
        self._transport = transport_of(scope)
        self._send = send
        self._closed = False

    async def send(self, message: Message) -> None:
        if self._closed:
            return
        if message["type"] == "http.response.start":
            if self._silent:
                self._transport.write(_unframed_head(message))
            else:
                await self._send(message)
            return
        body = message.get("body", b"")[: self._left]
        self._left -= len(body)
        if self._silent:
            self._transport.write(body)
        else:
            await self._send({**message, "body": body, "more_body": True})
        if not self._left or not message.get("more_body"):
            self._closed = True
            self._transport.close()


def _unframed_head(message: Message) -> bytes:
    """A response head without length or chunks: the end of the connection is the end of the body."""
    lines = [b"HTTP/1.1 %d %s" % (message["status"], HTTPStatus(message["status"]).phrase.encode())]
    lines += [name + b": " + value for name, value in message["headers"] if name.lower() != b"content-length"]
    return b"\r\n".join([*lines, b"connection: close", b"", b""])
