"""What is recorded about a call's prompt: size, hash, estimates, and for Anthropic the prefix fingerprint."""

from __future__ import annotations

from contextlib import suppress
from hashlib import sha256
from typing import Any, Final

import msgspec

from ledger.codec import canonical_json
from llm_optimization.recording import storable
from scheduler.providers.anthropic.blocks import prompt_blocks
from scheduler.providers.anthropic.facts import facts_of
from scheduler.providers.anthropic.limits import NAME as ANTHROPIC
from scheduler.providers.base import RequestFacts

__all__ = ["Prompt", "prompt_of"]

# Of what is handed to a client these are no part of the body, or say how to answer, not what is asked.
_NOT_ASKED: Final = frozenset({"extra_body", "extra_headers", "extra_query", "timeout", "stream", "stream_options"})
_MAX_TOKENS: Final = ("max_tokens", "max_completion_tokens", "max_output_tokens")


class Prompt(msgspec.Struct, frozen=True):
    """The prompt of a call, as the ledger knows it. `hash` is 64 hex digits, `size` in bytes of JSON."""

    hash: str
    size: int
    facts: RequestFacts


def prompt_of(provider: str, body: bytes, *, is_params: bool) -> Prompt:
    """The facts of a body that `notes` spelt: wire params, or messages where there are none. Raises nothing."""
    try:
        value = msgspec.json.decode(body)
        value = _asked(value) if is_params else value
        digest = sha256(canonical_json(value)).hexdigest()
    except (msgspec.DecodeError, UnicodeError, RecursionError):  # no JSON that everybody reads alike
        value, digest = None, sha256(body).hexdigest()
    params = value if is_params and isinstance(value, dict) else {}
    return Prompt(digest, len(body), _facts(provider, params, len(body)))


def _asked(value: Any) -> Any:
    """The params as a batch would carry them: the same question has the same hash."""
    if not isinstance(value, dict):
        return value
    asked = {name: given for name, given in value.items() if name not in _NOT_ASKED}
    extra = value.get("extra_body")
    return {**asked, **extra} if isinstance(extra, dict) else asked


def _facts(provider: str, params: dict[str, Any], size: int) -> RequestFacts:
    if provider == ANTHROPIC:
        # Of params that this release does not know, or that the provider refused, there is no fingerprint.
        with suppress(Exception):
            return facts_of(params, list(prompt_blocks(params)))
    betas = params.get("betas")
    return RequestFacts(
        model=storable.name(params.get("model")),
        max_tokens=max(storable.count(params.get(name)) for name in _MAX_TOKENS),
        api_version="",
        betas=tuple(sorted({beta for beta in betas if isinstance(beta, str)})) if isinstance(betas, list) else (),
        estimated_input_tokens=-(-size * 2 // 7),
    )
