"""The params of a batch item, from the arguments of a standard call; and its answer, as the SDK has one of a call."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Final

from ledger.errors import InvalidRequest
from scheduler.providers.anthropic import settle_sampling

__all__ = ["betas_of", "item_params", "message_of"]

_OF_THE_CALL: Final = frozenset({"stream", "timeout", "extra_headers", "extra_query", "extra_body"})
_BETAS: Final = "anthropic-beta"


def item_params(payload: Mapping[str, Any], betas: Sequence[str] = ()) -> dict[str, Any]:
    """What of a payload of `messages.create` belongs to the request itself, as a batch item takes it.

    `extra_body` is merged in, betas in the headers join `betas`, and so do those given here, which every call of the
    client has; what concerns the connection is dropped. Sampling that the model takes under no API version is left
    out, as a standard call would have to. Raises `InvalidRequest` for betas that are no list of names.
    """
    params = {name: value for name, value in payload.items() if name not in _OF_THE_CALL}
    if isinstance(extra := payload.get("extra_body"), Mapping):
        params |= extra
    own = params.get("betas") or []
    if not isinstance(own, list | tuple) or not all(isinstance(beta, str) for beta in own):
        raise InvalidRequest("betas", "must be a list of names")
    if told := [*own, *betas_of(payload.get("extra_headers")), *betas]:
        params["betas"] = list(dict.fromkeys(told))
    else:
        params.pop("betas", None)
    return settle_sampling(params).params


def message_of(message: Mapping[str, Any], *, beta: bool) -> Any:
    """A message out of a batch as the SDK makes one of an answer: what it does not know is kept, not refused.

    `beta`: the request had betas.
    """
    from anthropic.types import Message
    from anthropic.types.beta import BetaMessage

    return (BetaMessage if beta else Message).model_construct(**message)


def betas_of(headers: object) -> list[str]:
    """What `anthropic-beta` among these headers names; nothing where they are no mapping."""
    if not isinstance(headers, Mapping):
        return []
    told = (str(value) for name, value in headers.items() if str(name).lower() == _BETAS)
    return [beta.strip() for value in told for beta in value.split(",") if beta.strip()]
