"""Carrying out faults, below the application and above the connection: which effect belongs to which fault."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable

from starlette.responses import Response
from starlette.types import ASGIApp, Receive, Scope, Send

from llm_ledger.simulator.broken_answers import delay, malform, slow, truncate
from llm_ledger.simulator.clock import SECOND
from llm_ledger.simulator.errors import ApiError
from llm_ledger.simulator.faults import Fault, endpoint_of
from llm_ledger.simulator.lost_answers import drop, hang, refuse, reset_upload
from llm_ledger.simulator.mishap import Mishap
from llm_ledger.simulator.provider import Provider
from llm_ledger.simulator.repeated_work import postpone, repeat

__all__ = ["Misbehaviour"]

_EFFECTS: dict[str, Callable[[Mishap], Awaitable[None]]] = {
    "status": refuse,
    "drop_before": drop,
    "drop_after": drop,
    "reset_upload": reset_upload,
    "hang": hang,
    "truncate": truncate,
    "slow": slow,
    "delay": delay,
    "malformed": malform,
    "twice": repeat,
}


class Misbehaviour:
    """ASGI middleware: passes requests on, unless a fault befalls them.

    A fault without an effect of its own is one of content: the endpoint finds it in its state. `refuse` spells an
    error, `stopping` is set when the server goes down.
    """

    def __init__(
        self,
        app: ASGIApp,
        *,
        provider: Provider,
        refuse: Callable[[ApiError, str | None], Response],
        stopping: asyncio.Event,
    ) -> None:
        self._app = app
        self._provider = provider
        self._refuse = refuse
        self._stopping = stopping

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        await self._provider.late.catch_up()
        endpoint = endpoint_of(scope["method"], scope["path"])
        fault = self._provider.faults.take(endpoint) if endpoint else None
        if endpoint == "batches.create":
            scope["state"]["made"] = self._provider.note_create(
                scope["state"]["request_id"], fault.kind if fault is not None else None
            )
        if fault is None:
            await self._app(scope, receive, send)
        else:
            await self._fail(fault, Mishap(fault, self._app, scope, receive, send, self._refuse, self._stopping))

    async def _fail(self, fault: Fault, mishap: Mishap) -> None:
        effect = _EFFECTS.get(fault.kind)
        if effect is not None:
            await effect(mishap)
        elif fault.kind == "late":
            await postpone(mishap, self._provider.late)
        else:
            if fault.kind == "jump":
                self._provider.clock.advance(int(fault.delay_seconds * SECOND))
            mishap.scope["state"]["fault"] = fault
            await self._app(mishap.scope, mishap.receive, mishap.send)
