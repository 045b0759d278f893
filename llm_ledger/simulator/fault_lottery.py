"""Faults by chance: the same seed, rate and count of calls give the same fault.

Drawn for the six batch endpoints and for standard calls. Only faults after which a careful client can make every
batch good again: nobody could after one that vanishes, or that a listing shows with a wrong count. What depends on
time is short: a hanging answer lets go after two seconds; a late effect and a stale answer are off by one second of
the simulator's clock, so that a client has to wait longer than that before it gives up on a lost batch.
"""

from __future__ import annotations

from typing import Any

from llm_ledger.simulator.chance import fraction, number
from llm_ledger.simulator.faults import Endpoint, Fault

__all__ = ["draw"]

_REFUSALS: tuple[dict[str, Any], ...] = (
    {"kind": "status", "status": 429, "message": "This request would exceed your rate limit"},
    {"kind": "status", "status": 429, "retry_after": 0.05},
    {"kind": "status", "status": 529, "message": "Overloaded"},
    {"kind": "drop_before"},
    *({"kind": "status", "status": status} for status in (408, 409, 500, 504)),
)
_ANSWER_LOST: tuple[dict[str, Any], ...] = (
    {"kind": "drop_after"},
    {"kind": "hang", "delay_seconds": 2.0},
    {"kind": "hang", "delay_seconds": 2.0, "commit": True},
    *({"kind": "malformed", "body": body, "commit": True} for body in ("html", "empty", "half")),
    *({"kind": "truncate", "after_bytes": after} for after in (0, 1, 300)),
    {"kind": "truncate", "after_bytes": 300, "silent": True},
)
_SLOW: tuple[dict[str, Any], ...] = (
    {"kind": "delay", "delay_seconds": 0.03},
    {"kind": "slow", "delay_seconds": 0.001, "piece_bytes": 64},
)
_GENERAL = (*_REFUSALS, *_ANSWER_LOST, *_SLOW)

_SPECIAL: dict[Endpoint, tuple[dict[str, Any], ...]] = {
    "batches.create": (
        {"kind": "reset_upload", "after_bytes": 1},
        {"kind": "reset_upload", "after_bytes": 500},
        {"kind": "status", "status": 413, "message": "Request exceeds the maximum allowed number of bytes"},
        *({"kind": "status", "status": status, "commit": True} for status in (408, 409, 500, 504)),
        {"kind": "drop_after"},
        {"kind": "late", "delay_seconds": 1.0},
        {"kind": "twice"},
        {"kind": "twice", "silent": True},
    ),
    "batches.list": ({"kind": "stale", "delay_seconds": 1.0},),
    "batches.retrieve": (
        {"kind": "stale", "delay_seconds": 1.0},
        {"kind": "wrong_counts", "off_by": 1},
        {"kind": "wrong_counts", "off_by": -1},
    ),
    "batches.cancel": ({"kind": "jump", "delay_seconds": 1.0}, {"kind": "late", "delay_seconds": 1.0}),
    "batches.results": (
        *({"kind": "truncate", "after_bytes": after, "silent": True} for after in (0, 700, 1500)),
        *({"kind": "truncate", "after_bytes": after, "length": True} for after in (0, 700, 1500)),
        *({"kind": kind} for kind in ("bom", "nul", "nan", "duplicate_key", "deep", "invalid_utf8")),
        *({"kind": kind} for kind in ("empty_lines", "crlf", "missing", "duplicated", "foreign", "shuffled")),
        {"kind": "huge_line", "size": 1_000_000},
    ),
}

_SPARED: frozenset[Endpoint] = frozenset({"messages.count_tokens", "models"})


def draw(seed: int, rate: float, endpoint: Endpoint, call: int) -> Fault | None:
    """The fault of call number `call` of an endpoint, None if it goes well. `rate` is the chance, 0 to 1."""
    if endpoint in _SPARED or fraction(seed, "fault", endpoint, call) >= rate:
        return None
    choices = (*_GENERAL, *_SPECIAL.get(endpoint, ()))
    return Fault(endpoint=endpoint, **choices[number(seed, "which fault", endpoint, call) % len(choices)])
