"""What the ledger records about params, whoever made them: a line of a batch or a standard call."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from scheduler.providers.anthropic.blocks import Block
from scheduler.providers.anthropic.breakpoints import count_breakpoints
from scheduler.providers.anthropic.prefix import fingerprint
from scheduler.providers.anthropic.versions import required_version
from scheduler.providers.base import RequestFacts

__all__ = ["facts_of"]


def facts_of(params: dict[str, Any], blocks: Sequence[Block]) -> RequestFacts:
    """The facts of params whose shape is known to be right; `blocks` are their `prompt_blocks`.

    Raises `InvalidRequest` for breakpoints that the provider would refuse, and for sampling that the model refuses
    under every version of the API.
    """
    automatic = params.get("cache_control")
    markers = count_breakpoints(blocks, automatic)
    prefix, tokens = fingerprint(blocks, automatic=automatic is not None)
    return RequestFacts(
        model=params["model"],
        max_tokens=params["max_tokens"],
        api_version=required_version(params),
        betas=tuple(sorted(set(params.get("betas", ())))),
        estimated_input_tokens=tokens,
        markers=markers,
        prefix=prefix,
    )
