"""Turn GSM8K into a file of requests.

    python examples/gsm8k_to_requests.py gsm8k_test.jsonl > requests.jsonl
    llm-ledger submit requests.jsonl --tag set=gsm8k

Reads lines {"question", "answer"} (https://github.com/openai/grade-school-math, MIT) and writes one line
{"custom_id", "params"} per question; the custom_id is `gsm8k-0001` and so on, the line's number. `-` reads stdin.

--model NAME          the model to ask, default claude-haiku-4-5
--max-tokens N        the longest answer, default 400
--cached-prompt FILE  a system prompt that all requests share, marked for the cache for an hour. Below a model's
                      cacheable minimum (512 to 4,096 tokens) the provider ignores the mark without a word.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

INSTRUCTION = "Solve the problem step by step. End with a line that holds only #### and the final number."


def main() -> None:
    """Read the arguments, write the lines."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("questions", help="JSON lines with a `question` each; - reads stdin")
    parser.add_argument("--model", default="claude-haiku-4-5")
    parser.add_argument("--max-tokens", type=int, default=400)
    parser.add_argument("--cached-prompt", type=Path, metavar="FILE")
    arguments = parser.parse_args()
    prompt = arguments.cached_prompt.read_text(encoding="utf-8") if arguments.cached_prompt else None
    with sys.stdin if arguments.questions == "-" else Path(arguments.questions).open(encoding="utf-8") as lines:
        for request in requests(lines, arguments.model, arguments.max_tokens, prompt):
            print(json.dumps(request, ensure_ascii=False))


def requests(lines: Iterable[str], model: str, max_tokens: int, prompt: str | None) -> Iterator[dict[str, Any]]:
    """One request per question. Without a prompt to cache, the instruction goes along uncached."""
    block: dict[str, Any] = {"type": "text", "text": prompt or INSTRUCTION}
    if prompt:
        block["cache_control"] = {"type": "ephemeral", "ttl": "1h"}
    for number, line in enumerate(lines, start=1):
        params = {
            "model": model,
            "max_tokens": max_tokens,
            "system": [block],
            "messages": [{"role": "user", "content": json.loads(line)["question"]}],
        }
        yield {"custom_id": f"gsm8k-{number:04d}", "params": params}


if __name__ == "__main__":
    main()
