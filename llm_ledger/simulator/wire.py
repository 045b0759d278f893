"""Access to the connection below HTTP: an application can close it in mid-sentence.

`WireProtocol` puts the transport into every scope's extensions; `transport_of` finds it there. Under another
server there is none, and faults that need it fail loudly.
"""

from __future__ import annotations

import asyncio
import socket
import struct
from collections.abc import Coroutine
from typing import Any

from starlette.types import Receive, Scope, Send
from uvicorn.protocols.http.h11_impl import H11Protocol

__all__ = ["WireProtocol", "first_of", "read_whole", "reset", "transport_of", "wait_until_gone"]

_EXTENSION = "llm_ledger.simulator.transport"


class WireProtocol(H11Protocol):
    """uvicorn's HTTP/1.1 protocol, with the transport in reach of the application."""

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        super().connection_made(transport)
        # asyncio leaves Nagle's algorithm on for listeners made by hand: every answer would wait 40 ms.
        transport.get_extra_info("socket").setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        application: Any = self.app

        async def with_transport(scope: Scope, receive: Receive, send: Send) -> None:
            scope["extensions"] = {**scope.get("extensions", {}), _EXTENSION: transport}
            await application(scope, receive, send)

        self.app = with_transport


def transport_of(scope: Scope) -> asyncio.Transport:
    """The transport that carries a request. Raises RuntimeError where the server is not ours."""
    transport: asyncio.Transport | None = scope.get("extensions", {}).get(_EXTENSION)
    if transport is None:
        raise RuntimeError("this fault needs the simulator's own server")
    return transport


def reset(transport: asyncio.Transport) -> None:
    """End a connection the hard way: the other side sees a reset, not an end."""
    linger = struct.pack("ii", 1, 0)
    transport.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, linger)
    transport.abort()


async def read_whole(receive: Receive, most: int | None = None) -> bytes | None:
    """The body of a request to its end, or its first bytes once there are `most`. None if the client went away."""
    body = bytearray()
    more = True
    while more and (most is None or len(body) < most):
        message = await receive()
        if message["type"] == "http.disconnect":
            return None
        body += message.get("body", b"")
        more = message.get("more_body", False)
    return bytes(body)


async def wait_until_gone(receive: Receive) -> None:
    """Read and forget what the client sends, until the connection is closed."""
    while (await receive())["type"] != "http.disconnect":
        pass


async def first_of(*waits: Coroutine[Any, Any, object]) -> None:
    """Wait until the first of them is over; give up the others."""
    tasks = {asyncio.create_task(wait) for wait in waits}
    try:
        await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
