"""`python -m bench.bare_sdk FILE BATCHES POLL_SECONDS`: the official SDK alone. Create, wait, read every result.

Batches are created one after the other from the lines of the file, then waited for, then read. Prints one JSON
object: seconds by step, and how many requests succeeded.
"""

from __future__ import annotations

import json
import sys
import time
from pathlib import Path

from anthropic import Anthropic

__all__ = ["main"]


def main(file: str, batches: str, poll_seconds: str) -> None:
    """Do it, and say how long each step took."""
    client = Anthropic()
    clock = time.perf_counter
    began = clock()
    with Path(file).open("rb") as lines:
        requests = [json.loads(line) for line in lines]
    size = -(-len(requests) // int(batches))
    loaded = clock()
    created = [
        client.messages.batches.create(requests=requests[start : start + size]).id
        for start in range(0, len(requests), size)
    ]
    sent = clock()
    for batch in created:
        while client.messages.batches.retrieve(batch).processing_status != "ended":
            time.sleep(float(poll_seconds))
    ended = clock()
    succeeded = sum(
        line.result.type == "succeeded" for batch in created for line in client.messages.batches.results(batch)
    )
    steps = {"load": loaded - began, "create": sent - loaded, "wait": ended - sent, "results": clock() - ended}
    print(json.dumps({"succeeded": succeeded, "steps": steps}))


if __name__ == "__main__":
    main(*sys.argv[1:])
