"""Faults on order: which request of which endpoint goes wrong, and how. Decisions only; `misbehaviour` acts.

    curl $ANTHROPIC_BASE_URL/_simulator/faults -d '{"endpoint": "batches.create", "kind": "drop_after"}'

Whoever orders none can have them by chance: `SimulatorConfig(fault_rate=0.1)`, see `fault_lottery`.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Literal, get_args

import msgspec

__all__ = ["ENDPOINTS", "LINE_FAULTS", "Endpoint", "Fault", "Faults", "Garbage", "Kind", "LineFault", "endpoint_of"]

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
ENDPOINTS: tuple[Endpoint, ...] = get_args(Endpoint)

LineFault = Literal[
    "bom",
    "nul",
    "nul_escaped",
    "nan",
    "duplicate_key",
    "deep",
    "huge_line",
    "invalid_utf8",
    "empty_lines",
    "crlf",
    "missing",
    "duplicated",
    "foreign",
    "shuffled",
]
LINE_FAULTS: frozenset[str] = frozenset(get_args(LineFault))

Kind = Literal[
    "status",
    "drop_before",
    "drop_after",
    "reset_upload",
    "hang",
    "truncate",
    "slow",
    "delay",
    "malformed",
    "twice",
    "late",
    "stale",
    "jump",
    "vanish",
    "wrong_counts",
    LineFault,
]
Garbage = Literal["html", "empty", "half"]

_SHOWS_BATCHES = frozenset({"batches.create", "batches.list", "batches.retrieve", "batches.cancel"})
_READS = frozenset({"batches.list", "batches.retrieve", "batches.results"})
_NAMES_A_BATCH = frozenset({"batches.retrieve", "batches.cancel", "batches.results"})
_WHERE: dict[str, frozenset[str]] = {
    "stale": _READS,
    "vanish": _NAMES_A_BATCH,
    "wrong_counts": _SHOWS_BATCHES,
    **dict.fromkeys(LINE_FAULTS, frozenset({"batches.results"})),
}


class Fault(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """One way for an endpoint to go wrong, `times` times, after `skip` requests have gone well.

    The connection. `status`: answer `status` (with `retry_after` seconds if given). `drop_before`: close without
    having done anything. `drop_after`: do it, and close without an answer. `reset_upload`: reset it after
    `after_bytes` bytes of the request's body. `hang`: no answer for `delay_seconds`, then close (0: never).
    `truncate`: close after `after_bytes` bytes of the answer's body; `length` has the head promise the whole length,
    `silent` leaves out all framing that would let the client notice. `malformed`: status 200 with a `body` that is
    a web page (`html`), `empty`, or the first `half` of the true one.
    `commit` makes `status`, `hang` and `malformed` do the work first.

    Time. `delay`: do it at once, answer after `delay_seconds`. `slow`: the answer trickles, `piece_bytes` bytes at a
    time with `delay_seconds` between. Both real seconds. The other ones are of the simulator's clock: `late`: close
    the connection, and do it `delay_seconds` later. `stale`: answer as things stood `delay_seconds` ago. `jump`: the
    clock moves on by `delay_seconds` just before the request is looked at.

    Content. `twice`: do it twice, as behind a proxy that repeats a POST; the second answer is given, with `silent`
    none. `vanish`: somebody else deletes the batch just before. `wrong_counts`: `request_counts` off by `off_by`.
    Results, each for this one reading, from line number `line` on (0 is the first) for `lines` lines. Their syntax:
    `nul` (the byte), `nul_escaped`, `nan`, `duplicate_key`, `deep` (`size` levels, 100,000 if 0), `huge_line`
    (`size` bytes more, 100 MB if 0), `invalid_utf8`; of the whole file: `bom`, `empty_lines`, `crlf`. Which there
    are: `missing`, `duplicated`, `foreign` (a further one after it, of nobody's id), `shuffled` (another order).
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
    length: bool = False
    silent: bool = False
    body: Garbage = "html"
    delay_seconds: float = 0.0
    piece_bytes: int = 16
    off_by: int = 1
    line: int = 0
    lines: int = 1
    size: int = 0

    def __post_init__(self) -> None:
        where = _WHERE.get(self.kind)
        if where is not None and self.endpoint not in where:
            raise ValueError(f"{self.kind} happens to {', '.join(sorted(where))}, not to {self.endpoint}")
        if min(self.times, self.piece_bytes, self.lines) < 1:
            raise ValueError("times, piece_bytes and lines are 1 or more")
        if min(self.skip, self.after_bytes, self.delay_seconds, self.line, self.size) < 0:
            raise ValueError("skip, after_bytes, delay_seconds, line and size are 0 or more")

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
    """The faults still to come, first ordered first served, and how often each endpoint was called.

    `lottery` says which fault chance gives to a call of an endpoint (its number, from 1) that has none on order;
    None leaves nothing to chance.
    """

    def __init__(self) -> None:
        self.lottery: Callable[[Endpoint, int], Fault | None] | None = None
        self._orders: list[_Order] = []
        self.calls: dict[str, int] = dict.fromkeys(ENDPOINTS, 0)
        self.happened: list[dict[str, str | int]] = []

    def order(self, fault: Fault) -> None:
        self._orders.append(_Order(fault))

    def clear(self) -> None:
        """Let everything go well from now on."""
        self._orders.clear()
        self.lottery = None

    def take(self, endpoint: Endpoint) -> Fault | None:
        """The fault of the request that has just come in, None if it goes well."""
        self.calls[endpoint] += 1
        fault = self._next(endpoint)
        if fault is not None:
            self.happened.append({"endpoint": endpoint, "call": self.calls[endpoint], "kind": fault.kind})
        return fault

    def _next(self, endpoint: Endpoint) -> Fault | None:
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
        return self.lottery(endpoint, self.calls[endpoint]) if self.lottery is not None else None


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
