"""Params become lines of a batch: the bytes that will be sent, under an id that follows from what they say.

The same params have the same id wherever and whenever they are asked for, in any order, so that under one key answers
are found again. Breakpoints of the cache do not count: they say what a prompt costs, not what it is. Where the same
params stand several times, the occurrences are numbered: each is a request of its own.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Mapping
from hashlib import sha256
from typing import Any, Final

import msgspec

from ledger.codec import canonical_json, parse_json
from ledger.errors import InvalidRequest

__all__ = ["Line", "Names", "wire_json"]

_HASH_DIGITS: Final = 40

# What stands in there is the tool's own, and no marker whatever its name.
_OF_TOOLS: Final = frozenset({"input", "input_schema"})


class Line(msgspec.Struct, frozen=True):
    """One request: its id within the key, the bytes of its params, and tags beside those of all.

    `derived`: the id follows from the params, so that what has the same id is the same request.
    """

    custom_id: str
    params: bytes
    tags: Mapping[str, str] = {}
    derived: bool = False

    def as_bytes(self) -> bytes:
        """The line as files of requests have it."""
        line: dict[str, Any] = {"custom_id": self.custom_id, "params": msgspec.Raw(self.params)}
        if self.tags:
            line["tags"] = dict(self.tags)
        return msgspec.json.encode(line)


class Names:
    """Gives ids to params, in the order in which they come. What it has seen is all it remembers."""

    def __init__(self) -> None:
        self._seen: Counter[str] = Counter()

    def line(self, params: Mapping[str, Any] | bytes, tags: Mapping[str, str] | None = None) -> Line:
        """The line of these params. Raises `InvalidRequest` for what is no JSON, or reads differently everywhere."""
        body = params if isinstance(params, bytes) else wire_json(params)
        try:
            canonical = canonical_json(_unmarked(parse_json(body)))
        except (ValueError, RecursionError) as error:
            raise InvalidRequest("", f"params: {error}") from None
        digest = sha256(canonical).hexdigest()[:_HASH_DIGITS]
        self._seen[digest] += 1
        return Line(f"{digest}-{self._seen[digest]}", body, tags or {}, derived=True)


def wire_json(params: Mapping[str, Any]) -> bytes:
    """The bytes that the SDK would send for these params. Raises `InvalidRequest` for what JSON cannot hold."""
    try:
        return json.dumps(params, ensure_ascii=False, separators=(",", ":"), default=_plain).encode()
    except (TypeError, ValueError, RecursionError) as error:  # half a surrogate is a ValueError, too
        raise InvalidRequest("", f"params cannot be written as JSON: {error}") from None


def _unmarked(value: Any) -> Any:
    """The value as it was before it was marked: without breakpoints, and plain text where that made it a block."""
    if isinstance(value, list):
        return [_unmarked(one) for one in value]
    if not isinstance(value, dict):
        return value
    bare = {
        name: one if name in _OF_TOOLS else _unmarked(one)
        for name, one in value.items()
        if not (name == "cache_control" and _is_mark(one))
    }
    for name in ("content", "system"):
        match bare.get(name):
            case [{"type": "text", "text": str() as text, **rest}] if not rest:
                bare[name] = text
    return bare


def _is_mark(value: object) -> bool:
    return isinstance(value, dict) and value.get("type") == "ephemeral"


def _plain(value: Any) -> Any:
    """Of what the SDK takes besides plain data: pydantic's models, and iterables where it says so."""
    if hasattr(value, "model_dump"):
        return value.model_dump(mode="json", by_alias=True, exclude_unset=True)
    if isinstance(value, Mapping):
        return dict(value)
    raise TypeError(f"{type(value).__name__} is no JSON")
