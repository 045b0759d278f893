"""A file of requests: one long-ish system prompt for all, and a question of its own for each."""

from __future__ import annotations

import json
from pathlib import Path
from random import Random
from typing import Final

__all__ = ["write_requests"]

_SYSTEM_BYTES: Final = 900
_QUESTION_BYTES: Final = 1_130
_MODEL: Final = "claude-haiku-4-5"
_WORDS: Final = ("the", "of", "and", "a", "order", "customer", "invoice", "was", "late", "please", "explain", "why")


def write_requests(file: Path, count: int, seed: int = 0) -> int:
    """Write so many lines of some 2,300 bytes, in the provider's own shape. Returns the bytes."""
    random = Random(seed)
    system = [{"type": "text", "text": _prose(random, _SYSTEM_BYTES), "cache_control": {"type": "ephemeral"}}]
    with file.open("w", encoding="utf-8") as lines:
        for number in range(count):
            question = {"role": "user", "content": _prose(random, _QUESTION_BYTES)}
            params = {"model": _MODEL, "max_tokens": 256, "system": system, "messages": [question]}
            lines.write(f"{json.dumps({'custom_id': f'request-{number:06d}', 'params': params})}\n")
    return file.stat().st_size


def _prose(random: Random, size: int) -> str:
    text = " ".join(random.choices(_WORDS, k=size // 4))
    return text[:size].ljust(size, ".")
