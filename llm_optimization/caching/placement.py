"""Which positions of a prompt get a breakpoint. Pure: positions in, marks out.

What is billed hangs on the last breakpoint alone: tokens up to the longest entry found are read, those from there
to the last breakpoint are written (at 1.25 times the input price, 2 times for an hour), the rest costs the input
price. So every breakpoint before the last is free, and the question of what pays is how far the last one reaches.
A written token is worth it if more than a fifth of the prompts (half of them, for an hour) are followed by one that
reads it. The rule:

- An end that belongs to every prompt of an application is always marked: the system prompt's, with the tools before
  it, or the last tool's where there is no system prompt.
- The first user message and each message of more than 1,024 tokens are marked: they hold the material that the rest
  of a conversation asks about.
- The end of the prompt is marked if the conversation has grown, which is when it holds an answer: it will most
  likely grow again, and then reads all of this. Before the first answer nothing after the first user message is
  marked unless it is long. A text of the assistant at the very end is a prefill, which the answer changes: the
  breakpoint stands before it.
- Where the newest turn added so much that the end's lookback of 20 positions misses the end of the request before
  (the block before the last answer), that end gets a breakpoint too: it reads there and writes nothing anew.

There are four breakpoints, those present included. They go, until none is left, to what was marked by hand, the end
of the prompt, the system prompt, the end of the request before, the first user message, and the long messages from
the last to the first.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Iterable, Sequence
from typing import Final, Literal, NamedTuple

import msgspec

from llm_optimization.caching.positions import Position, Turn
from scheduler.providers.anthropic.limits import LOOKBACK, MOST_BREAKPOINTS

__all__ = ["LONG_MESSAGE_TOKENS", "Placement", "Ttl", "by_hand", "by_rule", "place"]

Ttl = Literal["5m", "1h"]

LONG_MESSAGE_TOKENS: Final = 1_024
"""A message of more tokens than these is long."""

_PREAMBLE: Final = ("tools", "system")


class Placement(msgspec.Struct, frozen=True):
    """Marks to set, in prefix order: (index of the position, lifetime).

    `below_minimum`: there was something to mark, and all of it was too short for the model to cache.
    """

    marks: tuple[tuple[int, Ttl], ...] = ()
    below_minimum: bool = False


def place(
    positions: Sequence[Position],
    wanted: Sequence[int],
    *,
    ttl: Ttl,
    minimum: int | None,
    automatic: Ttl | None = None,
) -> Placement:
    """Marks on the wanted positions, as many as the provider takes and in an order of lifetimes that it takes.

    `wanted` are indexes of positions, the worthiest first. `minimum` is what the model caches at least, in tokens;
    None where nobody knows, and then every wanted position counts as long enough (a breakpoint that turns out too
    short costs nothing). `automatic` is the lifetime of a top-level `cache_control`, which stands on the last block
    that takes it. Breakpoints in an order that the provider refuses are left for it to judge, and nothing is added.
    """
    present = _present(positions, automatic)
    lifetimes = [lifetime for _, lifetime in present]
    if "5m" in lifetimes and "1h" in lifetimes[lifetimes.index("5m") :]:
        return Placement()
    taken = {index for index, _ in present}
    new = [index for index in dict.fromkeys(wanted) if index not in taken]
    long_enough = [index for index in new if minimum is None or positions[index].tokens >= minimum]
    free = max(0, MOST_BREAKPOINTS - len(present))
    chosen = sorted(long_enough[:free])
    marks = tuple((index, _lifetime(index, present, ttl) if present else ttl) for index in chosen)
    return Placement(marks, below_minimum=bool(new) and not long_enough and not present)


def by_hand(positions: Sequence[Position], places: Iterable[tuple[int, int]]) -> list[int]:
    """The positions marked by hand: the first, which most prompts share, then the others from the last on.

    A place is (turn, block), block -1 for the start of the turn; where no marker may stand, the one before counts.
    """
    marked_by_hand = list(places)
    if not marked_by_hand:
        return []
    free = [index for index, position in enumerate(positions) if position.free]
    spots = [positions[index][:2] for index in free]
    chosen = {free[before - 1] for place in marked_by_hand if (before := bisect_right(spots, place))}
    ordered = sorted(chosen)
    return [*ordered[:1], *reversed(ordered[1:])]


def by_rule(turns: Sequence[Turn], positions: Sequence[Position]) -> list[int]:
    """The positions that pay by the rule above, the worthiest first; one may come twice."""
    spans = _spans(turns, positions)
    talk = [span for span in spans if span.voice == "assistant" or _is_said(turns[span.turn])]
    if talk and _is_prefill(turns[talk[-1].turn]):
        talk.pop()
    first_user = next((span.end for span in talk if span.voice == "user"), None)
    long = (span.end for span in reversed(talk) if span.tokens > LONG_MESSAGE_TOKENS)
    grown = _grown(talk, positions)
    chosen = [*grown[:1], _preamble(spans), *grown[1:], first_user, *long]
    return [index for index in chosen if index is not None]


class _Span(NamedTuple):
    """A turn's last free position (None without one), the last free one before it, and its tokens."""

    turn: int
    voice: str
    end: int | None
    before: int | None
    tokens: int


def _spans(turns: Sequence[Turn], positions: Sequence[Position]) -> list[_Span]:
    ends: dict[int, int] = {}
    until: dict[int, int] = {}
    for index, position in enumerate(positions):
        until[position.turn] = position.tokens
        if position.free:
            ends[position.turn] = index
    spans = []
    tokens = 0
    before = None
    for number, turn in enumerate(turns):
        end = ends.get(number)
        total = until.get(number, tokens)
        spans.append(_Span(number, turn.voice, end, before, total - tokens))
        before, tokens = before if end is None else end, total
    return spans


def _preamble(spans: Sequence[_Span]) -> int | None:
    """The end of the system prompt, or of the tools where there is none to mark."""
    ends = {span.voice: span.end for span in spans if span.end is not None and span.voice in _PREAMBLE}
    return ends.get("system", ends.get("tools"))


def _is_said(turn: Turn) -> bool:
    """Whether a turn stays in the talk: one that held nothing but a marker by hand is left out of the prompt."""
    return turn.voice not in _PREAMBLE and bool(turn.blocks)


def _is_prefill(turn: Turn) -> bool:
    last = turn.blocks[-1] if turn.blocks else None
    return turn.voice == "assistant" and isinstance(last, dict) and last.get("type") == "text"


def _grown(talk: Sequence[_Span], positions: Sequence[Position]) -> list[int]:
    """The end of a conversation that holds an answer, and that of the request before if it is out of sight."""
    answer = next((span for span in reversed(talk) if span.voice == "assistant"), None)
    if answer is None:
        return []
    end = next((span.end for span in reversed(talk) if span.end is not None), None)
    if end is None:
        return []
    if answer.before is None or positions[end].number - positions[answer.before].number < LOOKBACK:
        return [end]
    return [end, answer.before]


def _present(positions: Sequence[Position], automatic: Ttl | None) -> list[tuple[int, str]]:
    """The markers of a prompt as it comes, in prefix order: (index of the position, lifetime)."""
    present = [(index, ttl) for index, position in enumerate(positions) for ttl in position.ttls]
    last = next((index for index in range(len(positions) - 1, -1, -1) if positions[index].eligible), None)
    if automatic is not None and last is not None:
        present.append((last, automatic))
    return present


def _lifetime(index: int, present: Sequence[tuple[int, str]], wanted: Ttl) -> Ttl:
    """Before an hour's marker an hour, which costs nothing more there; after a 5-minute one 5 minutes."""
    if any(at >= index and ttl == "1h" for at, ttl in present):
        return "1h"
    if any(at <= index and ttl == "5m" for at, ttl in present):
        return "5m"
    return wanted
