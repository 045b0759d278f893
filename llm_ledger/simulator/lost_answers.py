"""Faults in which the client gets no answer, or an error instead of one."""

from __future__ import annotations

from llm_ledger.simulator.errors import ApiError
from llm_ledger.simulator.mishap import Mishap, swallow
from llm_ledger.simulator.wire import read_whole, reset, transport_of, wait_until_gone

__all__ = ["drop", "hang", "refuse", "reset_upload", "work_or_not"]


async def work_or_not(mishap: Mishap) -> None:
    """What a fault leaves of the request before its answer goes wrong: all its effects, or none."""
    if mishap.fault.works_first:
        await mishap.app(mishap.scope, mishap.receive, swallow)
    else:
        # To its end: a client that is still sending would see another error.
        await read_whole(mishap.receive)


async def refuse(mishap: Mishap) -> None:
    """An error status."""
    await work_or_not(mishap)
    fault, scope = mishap.fault, mishap.scope
    error = ApiError(fault.status, fault.message, retry_after=fault.retry_after)
    await mishap.refuse(error, scope["state"]["request_id"])(scope, mishap.receive, mishap.send)


async def drop(mishap: Mishap) -> None:
    """The connection ends without a word."""
    await work_or_not(mishap)
    await _end(mishap)


async def hang(mishap: Mishap) -> None:
    """Silence, until somebody loses patience."""
    await work_or_not(mishap)
    await mishap.wait(mishap.fault.delay_seconds)
    await _end(mishap)


async def reset_upload(mishap: Mishap) -> None:
    """The connection is reset in the middle of the request's body."""
    await read_whole(mishap.receive, mishap.fault.after_bytes)
    reset(transport_of(mishap.scope))
    await wait_until_gone(mishap.receive)


async def _end(mishap: Mishap) -> None:
    transport_of(mishap.scope).abort()
    await wait_until_gone(mishap.receive)
