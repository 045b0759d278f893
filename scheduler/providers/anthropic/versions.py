"""Under which API version a request must travel.

Version 2026-10-21 refuses sampling parameters, documents in assistant turns and citations on user text; version
2023-06-01 takes all three. A request goes under the newer one unless it needs the older.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import msgspec

from ledger.errors import InvalidRequest

__all__ = ["API_VERSIONS", "SAMPLING_PARAMETERS", "Settled", "required_version", "settle_sampling"]

_NEWER = "2026-10-21"
_OLDER = "2023-06-01"

API_VERSIONS = (_OLDER, _NEWER)

SAMPLING_PARAMETERS = ("temperature", "top_p", "top_k")

# Models that take no sampling under any version, with whatever follows after a dash (dates, minor versions).
# Source: the model profiles in langchain-anthropic 1.7.7 (`temperature: False`); Mythos 5 is Fable 5's sibling.
_WITHOUT_SAMPLING = (
    "claude-fable-5",
    "claude-haiku-5",
    "claude-mythos-5",
    "claude-opus-4-7",
    "claude-opus-4-8",
    "claude-opus-5",
    "claude-sonnet-5",
)
# What such a model does anyway may be said: the same source lets these values pass.
_NEUTRAL = {"temperature": 1, "top_p": 1}


class Settled(msgspec.Struct, frozen=True):
    """Params that no version question stands in the way of.

    `api_version` is the newest that takes them; `params` is a shallow copy without what was left out. `dropped`
    names what asked for something that the model cannot do: the answer will differ from what its caller wanted,
    so say so.
    """

    api_version: str
    params: dict[str, Any]
    dropped: tuple[str, ...] = ()


def settle_sampling(params: Mapping[str, Any]) -> Settled:
    """Params whose sampling the model takes, and the `anthropic-version` to send them under. Never raises.

    The params may be of any shape: what is not understood is left for the provider to judge. Left out are sampling
    parameters of a model that takes none, and those that are null; one with the value that the model has anyway is
    left out without being named.
    """
    refused = _takes_no_sampling(params.get("model"))
    given = {name: params[name] for name in SAMPLING_PARAMETERS if name in params}
    left_out = {name for name, value in given.items() if refused or value is None}
    kept = {name: value for name, value in params.items() if name not in left_out}
    dropped = tuple(
        name
        for name, value in given.items()
        if name in left_out and value is not None and value != _NEUTRAL.get(name)
    )
    return Settled(api_version=_version(kept), params=kept, dropped=dropped)


def required_version(params: Mapping[str, Any]) -> str:
    """The `anthropic-version` for params whose shape is known to be right.

    `InvalidRequest` for sampling that the model takes under neither version. An unknown model is believed to.
    """
    dropped = settle_sampling(params).dropped
    if dropped:
        raise InvalidRequest(dropped[0], f"{params['model']} takes no sampling parameters; leave {dropped[0]} out")
    return _version(params)


def _version(params: Mapping[str, Any]) -> str:
    if any(name in params for name in SAMPLING_PARAMETERS):
        return _OLDER
    messages = params.get("messages")
    return _OLDER if isinstance(messages, list | tuple) and any(map(_needs_older, messages)) else _NEWER


def _takes_no_sampling(model: object) -> bool:
    return isinstance(model, str) and any(
        model == family or model.startswith(f"{family}-") for family in _WITHOUT_SAMPLING
    )


def _needs_older(message: Any) -> bool:
    content = message.get("content") if isinstance(message, Mapping) else None
    if not isinstance(content, list | tuple):
        return False
    blocks = [block for block in content if isinstance(block, Mapping)]
    if message.get("role") == "assistant":
        return any(block.get("type") == "document" for block in blocks)
    return any(block.get("type") == "text" and block.get("citations") for block in blocks)
