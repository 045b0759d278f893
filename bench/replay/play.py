"""A session played through the wrapper, in the simulated provider's time, and what of its prompts was read."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final, Literal

import msgspec
from langchain_anthropic import ChatAnthropic

from bench.replay.prompts import Cut, Part, divided, prompt_of
from bench.replay.sessions import BLOCK_TOKENS, Session, best_hits
from llm_ledger.simulator import RunningSimulator
from llm_optimization import optimize

__all__ = ["LIFETIMES", "Missed", "Played", "Ttl", "play"]

Ttl = Literal["5m", "1h"]
LIFETIMES: Final[dict[Ttl, int]] = {"5m": 300, "1h": 3_600}


class Missed(msgspec.Struct):
    """Tokens that could have been read at best and were not, by where the best hit ends: within the tools or the
    system prompt, within a message, or at the end of a message.
    """

    in_preamble: int = 0
    in_message: int = 0
    at_end: int = 0


class Played(msgspec.Struct):
    """What became of a session: its tokens, those read, and those that could be read at best."""

    name: str
    calls: int
    input_tokens: int
    read: int
    best: int
    missed: Missed

    @property
    def rate(self) -> float:
        """Share of the input tokens that was read."""
        return self.read / self.input_tokens

    @property
    def best_rate(self) -> float:
        """Share of the input tokens that could be read at best."""
        return self.best / self.input_tokens


def play(session: Session, ttl: Ttl, simulator: RunningSimulator, cut: Cut = "message") -> Played:
    """Play a session at the simulator, whose clock moves by hand. The session has the account of its name."""
    bound = _models(session, ttl, simulator)
    best = best_hits(session.calls, LIFETIMES[ttl])
    played = Played(session.name, len(session.calls), session.input_tokens, 0, sum(best) * BLOCK_TOKENS, Missed())
    now = 0.0
    for hit, (call, parts) in zip(best, divided(session), strict=True):
        simulator.advance(call.start - now)
        now = call.start
        prompt = prompt_of(call.blocks, parts, cut)
        answer = bound[call.model].bind_tools(prompt.tools).invoke(prompt.messages)
        read = _read(answer.response_metadata["usage"], len(call.blocks) * BLOCK_TOKENS)
        played.read += read
        _note(played.missed, parts, hit, hit * BLOCK_TOKENS - read)
    return played


def _models(session: Session, ttl: Ttl, simulator: RunningSimulator) -> dict[str, Any]:
    key = f"{session.name}-{ttl}"
    settings = {"optimizationEnabled": True, "cachingEnabled": True, "cacheTTL": ttl, "recording": "off"}
    return {
        name: optimize(
            ChatAnthropic(model=name, max_tokens=16, api_key=key, base_url=simulator.base_url),  # type: ignore[call-arg,arg-type]
            "anthropic",
            settings,
        )
        for name in {call.model for call in session.calls}
    }


def _read(usage: dict[str, Any], expected: int) -> int:
    read: int = usage["cache_read_input_tokens"]
    total = usage["input_tokens"] + usage["cache_creation_input_tokens"] + read
    if total != expected:
        raise AssertionError(f"a prompt of {expected} tokens was billed as {total}")
    return read


def _note(missed: Missed, parts: Sequence[Part], hit: int, tokens: int) -> None:
    around = next(part for part in parts if part.stop >= hit)
    if around.stop == hit:
        missed.at_end += tokens
    elif around.voice in ("tools", "system"):
        missed.in_preamble += tokens
    else:
        missed.in_message += tokens
