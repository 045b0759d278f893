"""From a provider's `usage` object to token counts under the key that decides their price.

Source of the shapes: `anthropic` 2.12 (`types/usage.py`, `types/beta/beta_usage.py`,
`types/beta/beta_*_iteration_usage.py`) and the provider's page on refusals and fallback.
"""

from __future__ import annotations

import re
from bisect import bisect_left
from collections.abc import Mapping, Sequence
from typing import Annotated, Any, Literal

import msgspec

from ledger.errors import UsageUnreadable
from ledger.pricing.counts import MOST, Tokens, count, section, split
from ledger.pricing.envelope import opened

__all__ = [
    "PROMPT_LADDER",
    "PriceKey",
    "Processing",
    "Tokens",
    "UsageEntry",
    "normalise",
    "normalise_json",
    "undated",
]

Processing = Literal["batch", "standard"]

PROMPT_LADDER = (100_000, 200_000)
"""Prompt lengths (tokens) at which some provider's prices change. Fixed, so that keys outlive price books."""

_STEPS = (0, *PROMPT_LADDER)

# Ids come bare, with their release date, or as `-latest`; a version number is never taken for a date.
_SUFFIX = re.compile(r"-(?:20\d\d(?:0[1-9]|1[0-2])(?:0[1-9]|[12]\d|3[01])|latest)$")


class PriceKey(msgspec.Struct, frozen=True, order=True, gc=False):
    """Everything a price depends on but time.

    `geo`: "us" or "" (anywhere). `tier`: "priority", "flex" or "". `speed`: "fast" or "".
    `prompt_over`: the greatest step of `PROMPT_LADDER` that the prompt exceeds, else 0.
    """

    provider: str
    model: str
    processing: Processing
    geo: str = ""
    tier: str = ""
    speed: str = ""
    prompt_over: int = 0


class UsageEntry(msgspec.Struct, frozen=True, gc=False):
    """Tokens billed at one price."""

    key: PriceKey
    tokens: Tokens


def undated(model: str) -> str:
    """The model id without its release date or `-latest`: `claude-opus-4-20250514` → `claude-opus-4`."""
    return _SUFFIX.sub("", model)


def normalise(
    *, provider: str, model: str, processing: Processing, usage: Mapping[str, Any] | Any
) -> tuple[UsageEntry, ...]:
    """The billed tokens of one response. The first entry is the response's own: count the request under it.

    Further entries are what `usage.iterations` adds to the top-level counts; they may repeat a key, and are
    not merged, so that the first stays what the response itself read and wrote. Each is placed on the prompt
    ladder by its own prompt. By type of iteration:

    - `compaction`: billed in addition, under the response's model.
    - `advisor_message`: billed in addition, under its own model.
    - `message`, `fallback_message`: attempts at the answer. The top level counts the attempt that gave it, so
      those on the response's model are inside it. After a fallback, attempts of other models are billed in
      addition under their own model. Declined before any output they count as free: the few refusal categories
      in which the provider bills those are not told by the usage.
    - anything else cannot be priced without guessing: `UsageUnreadable`.

    Cache writes follow the `cache_creation` split. Tokens of the total that no split names count as 5-minute
    writes; a split beyond the total is trusted. Missing and null counts are 0; `UsageUnreadable` for any
    other value that is no whole number from 0 to 2^53, and for a `usage` that is no object.

    What other providers report comes in an envelope: see `ledger.pricing.envelope`.
    """
    if not isinstance(usage, Mapping):
        raise UsageUnreadable("usage", f"expected an object, got {type(usage).__name__}")
    if "usage_metadata" in usage:
        tokens, tier = opened(usage)
        step = _STEPS[bisect_left(PROMPT_LADDER, tokens.prompt)]
        return (UsageEntry(PriceKey(provider, model, processing, tier=tier, prompt_over=step), tokens),)
    geo = "us" if usage.get("inference_geo") == "us" else ""
    tier = "priority" if usage.get("service_tier") == "priority" else ""
    speed = "fast" if usage.get("speed") == "fast" else ""

    def entry(ran_on: str, tokens: Tokens) -> UsageEntry:
        step = _STEPS[bisect_left(PROMPT_LADDER, tokens.prompt)]
        return UsageEntry(PriceKey(provider, ran_on, processing, geo, tier, speed, step), tokens)

    iterations = _iterations(usage)
    if not iterations:
        return (entry(model, _own_tokens(usage, ())),)
    inside, billed = _sorted_out(iterations, model)
    return (entry(model, _own_tokens(usage, inside)), *(entry(ran_on, tokens) for ran_on, tokens in billed))


Count = Annotated[int, msgspec.Meta(ge=0, le=MOST)] | None
_Nothing = Annotated[int, msgspec.Meta(ge=1, le=0)]  # no value is one


class _Split(msgspec.Struct):
    ephemeral_5m_input_tokens: Count = None
    ephemeral_1h_input_tokens: Count = None


class _Tools(msgspec.Struct):
    web_search_requests: Count = None


class _Plain(msgspec.Struct):
    """A usage object without iterations, which is nearly all of them."""

    input_tokens: Count = None
    output_tokens: Count = None
    cache_creation_input_tokens: Count = None
    cache_read_input_tokens: Count = None
    cache_creation: _Split | None = None
    server_tool_use: _Tools | None = None
    inference_geo: Any = None
    service_tier: Any = None
    speed: Any = None
    iterations: None = None
    usage_metadata: _Nothing = 0  # an envelope would read as an object without any counts


_decode_plain = msgspec.json.Decoder(_Plain).decode


def normalise_json(*, provider: str, model: str, processing: Processing, usage: bytes) -> tuple[UsageEntry, ...]:
    """`normalise` for the raw object: the same answer, several times quicker for the usual shape."""
    try:
        plain = _decode_plain(usage)
    except msgspec.DecodeError:  # iterations, or something to complain about in detail
        return normalise(provider=provider, model=model, processing=processing, usage=_parsed(usage))
    written, tools = plain.cache_creation, plain.server_tool_use
    hour = (written.ephemeral_1h_input_tokens or 0) if written is not None else 0
    named = (written.ephemeral_5m_input_tokens or 0) if written is not None else 0
    tokens = Tokens(
        plain.input_tokens or 0,
        max(named, (plain.cache_creation_input_tokens or 0) - hour),
        hour,
        plain.cache_read_input_tokens or 0,
        plain.output_tokens or 0,
        (tools.web_search_requests or 0) if tools is not None else 0,
    )
    geo = "us" if plain.inference_geo == "us" else ""
    tier = "priority" if plain.service_tier == "priority" else ""
    speed = "fast" if plain.speed == "fast" else ""
    step = _STEPS[bisect_left(PROMPT_LADDER, tokens.prompt)]
    return (UsageEntry(PriceKey(provider, model, processing, geo, tier, speed, step), tokens),)


def _parsed(usage: bytes) -> Any:
    try:
        return msgspec.json.decode(usage)
    except (msgspec.DecodeError, RecursionError):
        raise UsageUnreadable("usage", "it is not JSON") from None


def _own_tokens(usage: Mapping[str, Any], inside: Sequence[Tokens]) -> Tokens:
    tokens = _tokens(usage, "usage")
    tools = section(usage, "server_tool_use", "usage")
    searches = count(tools, "web_search_requests", "usage.server_tool_use")
    five_minutes, hour = tokens.write_5m, tokens.write_1h
    # Of several iterations the top-level split has been seen to cover the first one only, under a total that
    # covers all. The iterations' own splits then say what the 5-minute rule would have to guess.
    if sum(split(usage, "usage")) < tokens.writes == sum(part.writes for part in inside):
        five_minutes, hour = sum(part.write_5m for part in inside), sum(part.write_1h for part in inside)
    return Tokens(tokens.uncached, five_minutes, hour, tokens.read, tokens.output, searches)


def _sorted_out(iterations: Sequence[Mapping[str, Any]], model: str) -> tuple[list[Tokens], list[tuple[str, Tokens]]]:
    """Iterations that the top level counts, and (model, tokens) of those billed beside it."""
    fell_back = any(entry.get("type") == "fallback_message" for entry in iterations)
    inside: list[Tokens] = []
    billed: list[tuple[str, Tokens]] = []
    for index, entry in enumerate(iterations):
        where = f"usage.iterations[{index}]"
        tokens = _tokens(entry, where)
        match entry.get("type"):
            case "compaction":
                billed.append((model, tokens))
            case "advisor_message":
                billed.append((_model(entry, where), tokens))
            case "message" | "fallback_message":
                ran_on = _model(entry, where, default=model)
                if not fell_back or undated(ran_on) == undated(model):
                    inside.append(tokens)
                elif tokens.output:
                    billed.append((ran_on, tokens))
            case unknown:
                raise UsageUnreadable(f"{where}.type", f"{unknown!r} is no iteration known here")
    return inside, [(ran_on, tokens) for ran_on, tokens in billed if tokens != Tokens()]


def _tokens(counts: Mapping[str, Any], where: str) -> Tokens:
    written = count(counts, "cache_creation_input_tokens", where)
    five_minutes, hour = split(counts, where)
    return Tokens(
        count(counts, "input_tokens", where),
        max(five_minutes, written - hour),
        hour,
        count(counts, "cache_read_input_tokens", where),
        count(counts, "output_tokens", where),
    )


def _iterations(usage: Mapping[str, Any]) -> Sequence[Mapping[str, Any]]:
    value = usage.get("iterations")
    if value is None:
        return ()
    if not isinstance(value, list) or not all(isinstance(entry, Mapping) for entry in value):
        raise UsageUnreadable("usage.iterations", "expected a list of objects")
    return value


def _model(entry: Mapping[str, Any], where: str, default: str | None = None) -> str:
    value = entry.get("model")
    if value is None and default is not None:
        return default
    if not isinstance(value, str) or not value:
        raise UsageUnreadable(f"{where}.model", f"{value!r} names no model")
    return value
