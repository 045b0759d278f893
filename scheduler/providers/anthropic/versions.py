"""Under which API version a request must travel.

Version 2026-10-21 refuses sampling parameters, documents in assistant turns and citations on user text; version
2023-06-01 takes all three. A request goes under the newer one unless it needs the older.
"""

from __future__ import annotations

from typing import Any

from ledger.errors import InvalidRequest

__all__ = ["SAMPLING_PARAMETERS", "required_version"]

_NEWER = "2026-10-21"
_OLDER = "2023-06-01"

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


def required_version(params: dict[str, Any]) -> str:
    """The `anthropic-version` for params whose shape is known to be right.

    `InvalidRequest` for sampling that the model takes under neither version. An unknown model is believed to.
    """
    sampling = [name for name in SAMPLING_PARAMETERS if name in params]
    if sampling and _takes_no_sampling(params["model"]):
        for name in sampling:
            if params[name] != _NEUTRAL.get(name):
                raise InvalidRequest(name, f"{params['model']} takes no sampling parameters; leave {name} out")
    return _OLDER if sampling or any(map(_needs_older, params["messages"])) else _NEWER


def _takes_no_sampling(model: str) -> bool:
    return any(model == family or model.startswith(f"{family}-") for family in _WITHOUT_SAMPLING)


def _needs_older(message: dict[str, Any]) -> bool:
    content = message["content"]
    if isinstance(content, str):
        return False
    if message["role"] == "assistant":
        return any(block["type"] == "document" for block in content)
    return any(block["type"] == "text" and block.get("citations") for block in content)
