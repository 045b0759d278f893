"""Faults on order: which request of which endpoint goes wrong, and how. Decisions only; `misbehaviour` acts."""

from __future__ import annotations

from typing import Literal

import msgspec

__all__ = ["ENDPOINTS", "Endpoint", "Fault", "Faults", "endpoint_of"]

Endpoint = Literal[
    "messages",
    "messages.count_tokens",
    "models",
    "batches.create",
    "batches.list",
    "batches.retrieve",
    "batches.cancel",
    "batches.delete",
    "batches.results",
]
ENDPOINTS: tuple[Endpoint, ...] = Endpoint.__args__  # type: ignore[attr-defined]

Kind = Literal["status", "drop_before", "drop_after", "hang", "truncate"]


class Fault(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """One way for an endpoint to go wrong, `times` times, after `skip` requests have gone well.

    `status`: answer `status` (with `retry_after` seconds if given). `drop_before`: close the connection
    without having done anything. `drop_after`: do it, and close without an answer. `hang`: never answer.
    `truncate`: close after `after_bytes` bytes of the answer's body; `silent` leaves out the framing that
    would let the client notice.
    `commit` makes `status` and `hang` do the work first.
    """

    endpoint: Endpoint
    kind: Kind
    times: int = 1
    skip: int = 0
    status: int = 500
    retry_after: float | None = None
    message: str = "Simulated fault"
    commit: bool = False
    after_bytes: int = 0
    silent: bool = False

    @property
    def works_first(self) -> bool:
        """Whether the request takes effect although the client gets no proper answer."""
        return self.commit or self.kind == "drop_after"


class _Order:
    __slots__ = ("fault", "skip", "times")

    def __init__(self, fault: Fault) -> None:
        self.fault = fault
        self.skip = fault.skip
        self.times = fault.times


class Faults:
    """The faults still to come, first ordered first served, and how often each endpoint was called."""

    def __init__(self) -> None:
        self._orders: list[_Order] = []
        self.calls: dict[str, int] = dict.fromkeys(ENDPOINTS, 0)

    def order(self, fault: Fault) -> None:
        self._orders.append(_Order(fault))

    def clear(self) -> None:
        """Let everything go well from now on."""
        self._orders.clear()

    def take(self, endpoint: Endpoint) -> Fault | None:
        """The fault of the request that has just come in, None if it goes well."""
        self.calls[endpoint] += 1
        for order in self._orders:
            if order.fault.endpoint != endpoint:
                continue
            if order.skip:
                order.skip -= 1
                return None
            order.times -= 1
            if not order.times:
                self._orders.remove(order)
            return order.fault
        return None


def endpoint_of(method: str, path: str) -> Endpoint | None:
    """The endpoint that a request line names, None for anything else."""
    match (method, path.strip("/").split("/")):
        case ("POST", ["v1", "messages"]):
            return "messages"
        case ("POST", ["v1", "messages", "count_tokens"]):
            return "messages.count_tokens"
        case ("GET", ["v1", "models", *_]):
            return "models"
        case (_, ["v1", "messages", "batches", *rest]):
            return _batch_endpoint(method, rest)
        case _:
            return None


def _batch_endpoint(method: str, rest: list[str]) -> Endpoint | None:
    match (method, rest):
        case ("POST", []):
            return "batches.create"
        case ("GET", []):
            return "batches.list"
        case ("GET", [_]):
            return "batches.retrieve"
        case ("DELETE", [_]):
            return "batches.delete"
        case ("POST", [_, "cancel"]):
            return "batches.cancel"
        case ("GET", [_, "results"]):
            return "batches.results"
        case _:
            return None
