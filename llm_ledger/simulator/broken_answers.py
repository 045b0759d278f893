"""Faults in which the work is done and its answer does not arrive as it should."""

from __future__ import annotations

import asyncio
from http import HTTPStatus

from starlette.responses import Response
from starlette.types import Message

from llm_ledger.simulator.lost_answers import work_or_not
from llm_ledger.simulator.mishap import Held, Mishap
from llm_ledger.simulator.wire import first_of, transport_of, wait_until_gone

__all__ = ["delay", "malform", "slow", "truncate"]

_PHRASES = {status.value: status.phrase for status in HTTPStatus}
_WEB_PAGE = b"<!doctype html><title>Bad gateway</title><p>Please try again later."


async def truncate(mishap: Mishap) -> None:
    """The first bytes of the body, then the end of the connection."""
    held = await mishap.hold()
    whole, fault = held.body, mishap.fault
    body = whole[: fault.after_bytes]
    transport = transport_of(mishap.scope)
    if fault.silent:
        transport.write(_unframed_head(mishap.stamped(held.start())) + body)
    else:
        await mishap.send(held.start(len(whole) if fault.length else None))
        await mishap.send(_piece(body))
    transport.close()
    await wait_until_gone(mishap.receive)


async def malform(mishap: Mishap) -> None:
    """A good status, and a body that is not what was asked for."""
    if mishap.fault.body == "half":
        held = await mishap.hold()
        half = held.body[: len(held.body) // 2]
        await mishap.send(held.start(len(half)))
        await mishap.send(_piece(half, more=False))
        return
    await work_or_not(mishap)
    page = mishap.fault.body == "html"
    answer = Response(_WEB_PAGE if page else b"", media_type="text/html" if page else "application/json")
    await answer(mishap.scope, mishap.receive, mishap.send)


async def delay(mishap: Mishap) -> None:
    """The whole answer, later."""
    held = await mishap.hold()
    await mishap.wait(mishap.fault.delay_seconds)
    for message in held.messages:
        await mishap.send(message)


async def slow(mishap: Mishap) -> None:
    """The whole answer, a few bytes at a time."""
    held = await mishap.hold()
    await first_of(_trickle(mishap, held), wait_until_gone(mishap.receive), mishap.stopping.wait())


async def _trickle(mishap: Mishap, held: Held) -> None:
    await mishap.send(held.start())
    body, step = held.body, mishap.fault.piece_bytes
    for begin in range(0, len(body), step):
        await mishap.send(_piece(body[begin : begin + step]))
        await asyncio.sleep(mishap.fault.delay_seconds)
    await mishap.send(_piece(b"", more=False))


def _piece(body: bytes, *, more: bool = True) -> Message:
    return {"type": "http.response.body", "body": body, "more_body": more}


def _unframed_head(message: Message) -> bytes:
    """A response head without length or chunks: the end of the connection is the end of the body."""
    status = message["status"]
    lines = [f"HTTP/1.1 {status} {_PHRASES.get(status, '')}".encode()]
    lines += [name + b": " + value for name, value in message["headers"] if name.lower() != b"content-length"]
    return b"\r\n".join([*lines, b"connection: close", b"", b""])
