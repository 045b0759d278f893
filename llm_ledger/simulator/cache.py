"""The prompt cache, by the rules the provider documents.

An entry is a prefix of the prompt that ended at a breakpoint. A breakpoint finds the longest live entry within
20 positions of itself, itself included; a run of tool_use or of tool_result blocks is one position. An entry
lives 5 minutes or an hour from the start of the request that wrote or last read it. Prefixes below the model's
minimum are silently not cached. Entries belong to an account and a model.
"""

from __future__ import annotations

from itertools import accumulate

import msgspec

from llm_ledger.simulator.clock import HOUR, MINUTE
from llm_ledger.simulator.prompt import Block, Prompt, Ttl

__all__ = ["LOOKBACK", "PromptCache", "Split"]

LOOKBACK = 20
_LIFETIME: dict[Ttl, int] = {"5m": 5 * MINUTE, "1h": HOUR}
_MISS = -1


class Split(msgspec.Struct, frozen=True, kw_only=True):
    """How the cache divides the tokens of a prompt."""

    uncached: int
    write_5m: int = 0
    write_1h: int = 0
    read: int = 0


class _Entry:
    __slots__ = ("expires", "lifetime", "readable")

    def __init__(self, lifetime: int, readable: int, expires: int) -> None:
        self.lifetime = lifetime
        self.readable = readable
        self.expires = expires


class PromptCache:
    """Every entry of every account."""

    def __init__(self) -> None:
        self._entries: dict[tuple[str, str], dict[bytes, _Entry]] = {}
        self._prune_above = 100_000

    def use(
        self,
        owner: tuple[str, str],
        prompt: Prompt,
        *,
        minimum: int,
        at: int,
        readable_at: int,
        may_read: bool = True,
    ) -> Split:
        """Read and write the cache for a request that starts at `at`.

        `owner` is (account, model id). What it writes can be read from `readable_at` on.
        """
        ends = list(accumulate(block.tokens for block in prompt.blocks))
        markers = [i for i, block in enumerate(prompt.blocks) if block.ttl and ends[i] >= minimum]
        if not markers:
            return Split(uncached=prompt.tokens)
        entries = self._entries.setdefault(owner, {})
        prefixes = prompt.prefixes(markers[-1] + 1)
        hit = _MISS
        if may_read:
            hit = max(_read(entries, prompt.blocks, prefixes, marker, at) for marker in markers)
        written = [marker for marker in markers if marker > hit]
        for marker in written:
            lifetime = _LIFETIME[prompt.blocks[marker].ttl or "5m"]
            entries[prefixes[marker]] = _Entry(lifetime, readable_at, at + lifetime)
        self._prune(entries, at)
        return _split(prompt, ends, hit, written)

    def _prune(self, entries: dict[bytes, _Entry], at: int) -> None:
        if len(entries) <= self._prune_above:
            return
        for prefix in [prefix for prefix, entry in entries.items() if entry.expires <= at]:
            del entries[prefix]
        self._prune_above = max(self._prune_above, 2 * len(entries))


def _read(entries: dict[bytes, _Entry], blocks: list[Block], prefixes: list[bytes], marker: int, at: int) -> int:
    """Index of the block where the longest entry found from `marker` ends; the entry lives on."""
    positions = 1
    for index in range(marker, -1, -1):
        if index < marker and not (blocks[index].run and blocks[index].run == blocks[index + 1].run):
            positions += 1
        if positions > LOOKBACK:
            return _MISS
        entry = entries.get(prefixes[index])
        if entry and entry.readable <= at < entry.expires:
            entry.expires = max(entry.expires, at + entry.lifetime)
            return index
    return _MISS


def _split(prompt: Prompt, ends: list[int], hit: int, written: list[int]) -> Split:
    """Up to the hit A it is read; from A to the last new 1h marker B written for an hour; from B to the last
    new marker C for five minutes; the rest is not cached."""
    read = ends[hit] if hit != _MISS else 0
    hour = max((ends[marker] for marker in written if prompt.blocks[marker].ttl == "1h"), default=read)
    last = ends[written[-1]] if written else read
    return Split(read=read, write_1h=hour - read, write_5m=last - hour, uncached=prompt.tokens - last)
