"""The params of a batch item, from the arguments of a standard call."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from scheduler.providers.anthropic import settle_sampling

__all__ = ["item_params"]

_OF_THE_CALL: Final = frozenset({"stream", "timeout", "extra_headers", "extra_query", "extra_body"})
_BETAS: Final = "anthropic-beta"


def item_params(payload: Mapping[str, Any]) -> dict[str, Any]:
    """What of a payload of `messages.create` belongs to the request itself, as a batch item takes it.

    `extra_body` is merged in, betas in the headers join `betas`; what concerns the connection is dropped. Sampling
    that the model takes under no API version is left out, as a standard call would have to.
    """
    params = {name: value for name, value in payload.items() if name not in _OF_THE_CALL}
    if isinstance(extra := payload.get("extra_body"), Mapping):
        params |= extra
    if betas := [*(params.get("betas") or ()), *_betas_of(payload.get("extra_headers"))]:
        params["betas"] = list(dict.fromkeys(betas))
    else:
        params.pop("betas", None)
    return settle_sampling(params).params


def _betas_of(headers: object) -> list[str]:
    if not isinstance(headers, Mapping):
        return []
    told = (str(value) for name, value in headers.items() if str(name).lower() == _BETAS)
    return [beta.strip() for value in told for beta in value.split(",") if beta.strip()]
