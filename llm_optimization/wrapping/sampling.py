"""Sampling parameters, settled before they travel: newer SDKs speak an API version that refuses them.

Where the model takes them under the older version, the request asks for that one by a header; where it takes them
under none, they are left out, and the log says so once.
"""

from __future__ import annotations

import logging
from collections.abc import Mapping
from functools import cache
from importlib.metadata import PackageNotFoundError, version
from typing import Any, Final

from scheduler.providers.anthropic.versions import SAMPLING_PARAMETERS, settle_sampling

__all__ = ["api_version", "say_dropped", "sdk_api_version", "settled"]

_log = logging.getLogger("llm_optimization")
_HEADER: Final = "anthropic-version"
_OLDER: Final = "2023-06-01"
_NEWER: Final = "2026-10-21"
_NEWER_SINCE: Final = 2  # major version of the SDK


def settled(payload: dict[str, Any], default_headers: Mapping[str, str] | None = None) -> dict[str, Any]:
    """A payload of `messages.create` that its API version takes; the same one if it does already.

    Whoever names a version, in the payload's headers or the client's, is taken at their word.
    """
    extra = payload.get("extra_body")
    extra = extra if isinstance(extra, Mapping) else {}
    made = settle_sampling({**payload, **extra})
    left_out = [
        name for name in SAMPLING_PARAMETERS if name not in made.params and (name in payload or name in extra)
    ]
    if made.dropped:
        say_dropped(str(payload.get("model")), made.dropped)
    if left_out:
        payload = {name: value for name, value in payload.items() if name not in left_out}
        if extra:
            payload["extra_body"] = {name: value for name, value in extra.items() if name not in left_out}
    if made.api_version == _OLDER != sdk_api_version() and not _named(payload, default_headers):
        payload = {**payload, "extra_headers": {**(payload.get("extra_headers") or {}), _HEADER: _OLDER}}
    return payload


def api_version(payload: Mapping[str, Any], default_headers: Mapping[str, str] | None = None) -> str:
    """The API version that a payload travels under."""
    return _named(payload, default_headers) or sdk_api_version()


@cache
def sdk_api_version() -> str:
    """The version that the installed SDK asks for by itself."""
    try:
        major = int(version("anthropic").partition(".")[0])
    except (PackageNotFoundError, ValueError):
        return _OLDER
    return _NEWER if major >= _NEWER_SINCE else _OLDER


def _named(payload: Mapping[str, Any], default_headers: Mapping[str, str] | None) -> str | None:
    for headers in (payload.get("extra_headers"), default_headers):
        if isinstance(headers, Mapping):
            for name, value in headers.items():
                if name.lower() == _HEADER:
                    return str(value)
    return None


@cache
def say_dropped(model: str, dropped: tuple[str, ...]) -> None:
    """Log, once for a model, that these parameters do not travel."""
    _log.warning("%s takes no sampling parameters; left out (said once): %s", model, ", ".join(dropped))
