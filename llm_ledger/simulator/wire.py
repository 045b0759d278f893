"""Access to the connection below HTTP: an application can close it in mid-sentence.

`WireProtocol` puts the transport into every scope's extensions; `transport_of` finds it there. Under another
server there is none, and faults that need it fail loudly.
"""

from __future__ import annotations

import asyncio
import socket
from typing import Any

from starlette.types import Receive, Scope, Send
from uvicorn.protocols.http.h11_impl import H11Protocol

__all__ = ["WireProtocol", "transport_of", "wait_until_gone"]

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


async def wait_until_gone(receive: Receive) -> None:
    """Read and forget what the client sends, until the connection is closed."""
    while (await receive())["type"] != "http.disconnect":
        pass
