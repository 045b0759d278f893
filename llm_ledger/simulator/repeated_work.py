"""Faults in which a request takes effect more often or later than its client believes."""

from __future__ import annotations

from collections.abc import Awaitable, Callable

from starlette.types import Message, Receive

from llm_ledger.simulator.clock import SECOND, VirtualClock
from llm_ledger.simulator.mishap import Mishap, swallow
from llm_ledger.simulator.wire import read_whole, transport_of, wait_until_gone

__all__ = ["LateEffects", "postpone", "repeat"]


class LateEffects:
    """What is still to take effect. As nothing happens unless somebody looks, it does before the next request."""

    def __init__(self, clock: VirtualClock) -> None:
        self._clock = clock
        self._waiting: list[tuple[int, Callable[[], Awaitable[None]]]] = []

    def add(self, seconds: float, effect: Callable[[], Awaitable[None]]) -> None:
        """Let it take effect so many seconds of simulator time from now."""
        self._waiting.append((self._clock.now() + int(seconds * SECOND), effect))

    async def catch_up(self) -> None:
        """Let everything take effect that is due."""
        now = self._clock.now()
        due = sorted((entry for entry in self._waiting if entry[0] <= now), key=lambda entry: entry[0])
        self._waiting = [entry for entry in self._waiting if entry[0] > now]
        for _, effect in due:
            await effect()


async def repeat(mishap: Mishap) -> None:
    """Do the work twice, and give the second answer, or none."""
    body = await read_whole(mishap.receive)
    if body is None:
        return
    first = {**mishap.scope, "state": dict(mishap.scope["state"])}
    await mishap.app(first, _reading(body, mishap.receive), swallow)
    silent = mishap.fault.silent
    await mishap.app(mishap.scope, _reading(body, mishap.receive), swallow if silent else mishap.send)
    if silent:
        transport_of(mishap.scope).abort()
        await wait_until_gone(mishap.receive)


async def postpone(mishap: Mishap, late: LateEffects) -> None:
    """Close the connection, and do the work later."""
    body = await read_whole(mishap.receive)
    if body is None:
        return

    async def effect() -> None:
        await mishap.app(mishap.scope, _reading(body, _gone), swallow)

    late.add(mishap.fault.delay_seconds, effect)
    transport_of(mishap.scope).abort()
    await wait_until_gone(mishap.receive)


def _reading(body: bytes, then: Receive) -> Receive:
    """A request's body, read again."""
    messages: list[Message] = [{"type": "http.request", "body": body, "more_body": False}]

    async def receive() -> Message:
        return messages.pop() if messages else await then()

    return receive


async def _gone() -> Message:
    return {"type": "http.disconnect"}
