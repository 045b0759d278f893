"""Two hundred real questions under one long system prompt, for three models."""

from __future__ import annotations

import json
from collections.abc import Iterator
from importlib import resources
from typing import Any, Final

__all__ = ["MODELS", "request_lines"]

MODELS: Final = ("claude-haiku-4-5", "claude-sonnet-5-5", "claude-opus-5-5")

_INSTRUCTIONS: Final = (
    "You solve grade school math problems. Work step by step, one short sentence per step, and put every "
    "calculation in the form <<expression=value>>. End with a line that holds nothing but #### and the final number, "
    "without units. These worked examples show the form:"
)


def request_lines() -> Iterator[bytes]:
    """The lines of a requests file. The prompt is some 6,000 tokens: beyond every model's cacheable minimum."""
    system = [{"type": "text", "text": _prompt(), "cache_control": {"type": "ephemeral", "ttl": "1h"}}]
    for number, asked in enumerate(_rows("gsm8k_200.jsonl"), start=1):
        params = {
            "model": MODELS[number % len(MODELS)],
            "max_tokens": 400,
            "system": system,
            "messages": [{"role": "user", "content": asked["question"]}],
        }
        line = {"custom_id": f"gsm8k-{number:03d}", "params": params, "tags": {"set": "gsm8k"}}
        yield json.dumps(line).encode() + b"\n"


def _prompt() -> str:
    examples = (f"Question: {row['question']}\nAnswer: {row['answer']}" for row in _rows("gsm8k_examples.jsonl"))
    return "\n\n".join((_INSTRUCTIONS, *examples))


def _rows(name: str) -> Iterator[dict[str, Any]]:
    text = (resources.files("llm_ledger.demo") / "data" / name).read_text(encoding="utf-8")
    for line in text.splitlines():
        yield json.loads(line)
