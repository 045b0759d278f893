"""Recorded sessions: when each request began, for which model, and which blocks of 64 tokens its prompt had.

The format is the one of the kv-cache-tester traces: an id stands for a block after everything before it, so equal
ids mean equal prefixes; only full blocks have one. What can be read at best is computed here by the definition that
comes with the data: a block is alive until a lifetime after its last use, and a hit is the longest run of leading
blocks alive.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, Final

import msgspec

from ledger.errors import InputError

__all__ = ["BLOCK_TOKENS", "Call", "Session", "best_hits", "read_session", "read_sessions", "shared"]

BLOCK_TOKENS: Final = 64


class Call(msgspec.Struct, frozen=True):
    """A request: `start` in seconds from the session's, tokens, and the ids of its full blocks.

    `subagent` tells the run of a sub-agent from the main conversation.
    """

    start: float
    model: str
    input_tokens: int
    output_tokens: int
    blocks: tuple[int, ...]
    subagent: bool = False


class Session(msgspec.Struct, frozen=True):
    """A session's requests in the order in which they began; `tool_tokens` and `system_tokens` come first in each
    prompt of the main conversation.
    """

    name: str
    tool_tokens: int
    system_tokens: int
    calls: tuple[Call, ...]

    @property
    def input_tokens(self) -> int:
        """Tokens of all prompts, those of blocks that are not full included."""
        return sum(call.input_tokens for call in self.calls)


def read_sessions(folder: Path) -> list[Session]:
    """The sessions in a folder, by name. Raises `InputError` if it holds none."""
    sessions = [read_session(path) for path in sorted(folder.glob("*.json"))]
    if not sessions:
        raise InputError(f"{folder} holds no session (*.json); give the folder of the recorded sessions")
    return sessions


def read_session(path: Path) -> Session:
    """The session in a file."""
    try:
        recorded = json.loads(path.read_bytes())
        calls = [
            *(_call(request) for request in recorded["requests"] if request["type"] != "subagent"),
            *(call for request in recorded["requests"] if request["type"] == "subagent" for call in _within(request)),
        ]
        calls.sort(key=lambda call: call.start)
        return Session(recorded["id"], recorded["tool_tokens"], recorded["system_tokens"], tuple(calls))
    except (KeyError, TypeError, ValueError) as error:
        raise InputError(f"{path} is no recorded session: {type(error).__name__} {error}") from error


def best_hits(calls: Sequence[Call], lifetime: float) -> list[int]:
    """Blocks that each call could read at best; a model's blocks live `lifetime` seconds after their last use."""
    used: dict[tuple[str, int], float] = {}
    hits = []
    for call in calls:
        known = (used.get((call.model, block), float("-inf")) for block in call.blocks)
        hits.append(next((at for at, last in enumerate(known) if call.start - last > lifetime), len(call.blocks)))
        used.update(((call.model, block), call.start) for block in call.blocks)
    return hits


def shared(one: Sequence[int], other: Sequence[int]) -> int:
    """Length of the common beginning."""
    pairs = enumerate(zip(one, other, strict=False))
    return next((at for at, (mine, its) in pairs if mine != its), min(len(one), len(other)))


def _within(subagent: dict[str, Any]) -> Iterator[Call]:
    """A sub-agent's requests count from its start; what is noted of the run is its end."""
    start = subagent["t"] - subagent["duration_ms"] / 1_000
    return (_call(request, start, subagent=True) for request in subagent["requests"])


def _call(request: dict[str, Any], since: float = 0.0, *, subagent: bool = False) -> Call:
    return Call(
        since + request["t"],
        request["model"],
        request["in"],
        request["out"],
        tuple(request["hash_ids"]),
        subagent,
    )
