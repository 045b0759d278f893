"""A request that was told to go wrong, and everything that is needed to see to it."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import NamedTuple

from starlette.responses import Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from llm_ledger.simulator.errors import ApiError
from llm_ledger.simulator.faults import Fault
from llm_ledger.simulator.wire import first_of, wait_until_gone

__all__ = ["Held", "Mishap", "swallow"]


class Mishap(NamedTuple):
    """A fault and the request that it befalls. `app` would answer it; `refuse` spells an error; `stopping` is set
    when the server goes down."""

    fault: Fault
    app: ASGIApp
    scope: Scope
    receive: Receive
    send: Send
    refuse: Callable[[ApiError, str | None], Response]
    stopping: asyncio.Event

    async def hold(self) -> Held:
        """Do the work, and keep the answer back."""
        held = Held()
        await self.app(self.scope, self.receive, held.send)
        return held

    async def wait(self, seconds: float) -> None:
        """Wait so many real seconds (0: for ever), but no longer than the client and the server do."""
        enough = asyncio.sleep(seconds) if seconds else asyncio.Event().wait()
        await first_of(enough, wait_until_gone(self.receive), self.stopping.wait())

    def stamped(self, start: Message) -> Message:
        """The beginning of an answer with what every answer carries, for one that goes past `send`."""
        stamped: Message = self.scope["state"]["stamp"](start)
        return stamped


class Held:
    """An answer that was kept back."""

    def __init__(self) -> None:
        self.messages: list[Message] = []

    async def send(self, message: Message) -> None:
        self.messages.append(message)

    @property
    def body(self) -> bytes:
        return b"".join(message.get("body", b"") for message in self.messages[1:])

    def start(self, length: int | None = None) -> Message:
        """How it begins; with `length`, promising so many bytes."""
        start = self.messages[0]
        if length is None:
            return start
        rest = [header for header in start["headers"] if header[0].lower() != b"content-length"]
        return {**start, "headers": [*rest, (b"content-length", str(length).encode())]}


async def swallow(message: Message) -> None:
    """Let an answer go nowhere."""
