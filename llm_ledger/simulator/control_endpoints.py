"""The simulator's own endpoints: its bill and log to read, its clock, faults and accidents to set. No key.

    curl $ANTHROPIC_BASE_URL/_simulator/faults -d '{"endpoint": "batches.create", "kind": "status", "status": 529}'

An order that cannot be is refused with what could.
"""

from __future__ import annotations

import re
from typing import Annotated, Any, TypeVar

import msgspec
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from llm_ledger.simulator.clock import SECOND, rfc3339
from llm_ledger.simulator.errors import invalid
from llm_ledger.simulator.exchange import json_answer, provider_of, read_json
from llm_ledger.simulator.faults import Fault
from llm_ledger.simulator.outcomes import AccidentRule
from llm_ledger.simulator.provider import Provider

__all__ = ["CONTROL_ROUTES"]

_MOST_BYTES = 1_000_000
_Order = TypeVar("_Order")


class _ChanceOrder(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    rate: Annotated[float, msgspec.Meta(ge=0, le=1)]
    seed: int = 0


class _ClockOrder(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    advance_seconds: float = 0
    scale: float | None = None


async def _bill(request: Request) -> Response:
    provider = provider_of(request)
    await provider.processing.catch_up(None)
    return json_answer(provider.inference.bill.show())


async def _log(request: Request) -> Response:
    provider = provider_of(request)
    await provider.processing.catch_up(None)
    return json_answer(provider.log())


async def _read_clock(request: Request) -> Response:
    return json_answer(_clock(provider_of(request)))


async def _set_clock(request: Request) -> Response:
    order = await _read_order(request, _ClockOrder)
    clock = provider_of(request).clock
    try:
        if order.scale is not None:
            clock.set_scale(order.scale)
        clock.advance(round(order.advance_seconds * SECOND))
    except ValueError as error:
        raise invalid(str(error)) from error
    return json_answer(_clock(provider_of(request)))


async def _order_fault(request: Request) -> Response:
    provider_of(request).faults.order(await _read_order(request, Fault))
    return json_answer({})


async def _clear_faults(request: Request) -> Response:
    provider_of(request).faults.clear()
    return json_answer({})


async def _set_chance(request: Request) -> Response:
    order = await _read_order(request, _ChanceOrder)
    provider_of(request).leave_to_chance(order.rate, order.seed)
    return json_answer({})


async def _order_accident(request: Request) -> Response:
    rule = await _read_order(request, AccidentRule)
    try:
        provider_of(request).accidents.order(rule)
    except re.error as error:
        raise invalid(f"custom_id: {error}") from error
    return json_answer({})


async def _clear_accidents(request: Request) -> Response:
    provider_of(request).accidents.clear()
    return json_answer({})


async def _reset(request: Request) -> Response:
    provider_of(request).reset()
    return json_answer({})


async def _read_order(request: Request, kind: type[_Order]) -> _Order:
    content: Any = await read_json(request, most=_MOST_BYTES)
    try:
        return msgspec.convert(content, kind)
    except msgspec.ValidationError as error:
        raise invalid(f"{error}. {_possible(kind)}") from error


def _possible(kind: type[Any]) -> str:
    """The fields of an order, in words, and the values of those that take only some."""
    fields = msgspec.structs.fields(kind)
    words = [f"Fields: {', '.join(field.name for field in fields)}."]
    for field in fields:
        match msgspec.inspect.type_info(field.type):
            case msgspec.inspect.LiteralType(values=values):
                words.append(f"{field.name}: {', '.join(map(str, values))}.")
    return " ".join(words)


def _clock(provider: Provider) -> dict[str, Any]:
    return {"now": rfc3339(provider.clock.now()), "scale": provider.clock.scale}


CONTROL_ROUTES = [
    Route("/_simulator/bill", _bill, methods=["GET"]),
    Route("/_simulator/log", _log, methods=["GET"]),
    Route("/_simulator/clock", _read_clock, methods=["GET"]),
    Route("/_simulator/clock", _set_clock, methods=["POST"]),
    Route("/_simulator/faults", _order_fault, methods=["POST"]),
    Route("/_simulator/faults", _clear_faults, methods=["DELETE"]),
    Route("/_simulator/fault_rate", _set_chance, methods=["POST"]),
    Route("/_simulator/accidents", _order_accident, methods=["POST"]),
    Route("/_simulator/accidents", _clear_accidents, methods=["DELETE"]),
    Route("/_simulator/reset", _reset, methods=["POST"]),
]
