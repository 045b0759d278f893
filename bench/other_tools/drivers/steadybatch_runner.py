# mypy: ignore-errors
"""steadybatch's Runner with a checkpoint; after a crash the same script is run again. It takes JSON answers only."""

import json
import logging
import sys
from pathlib import Path

from steadybatch import Request, Runner
from steadybatch.providers.anthropic_batch import AnthropicBatch

SCHEMA = {
    "type": "object",
    "properties": {"number": {"type": "integer"}},
    "required": ["number"],
    "additionalProperties": False,
}

logging.basicConfig(level=logging.INFO)
requests_file, results_file = sys.argv[1:]
requests = [json.loads(line) for line in Path(requests_file).read_text().splitlines()]
model = requests[0]["params"]["model"]
runner = Runner(AnthropicBatch(), model, response_schema=SCHEMA, checkpoint="job.sqlite", poll_every=0.5)
report = runner.run(
    Request(
        key=request["custom_id"],
        messages=request["params"]["messages"],
        max_tokens=request["params"]["max_tokens"],
    )
    for request in requests
)
with Path(results_file).open("w") as results:
    for result in report.results:
        told = {"text": result.text} if result.outcome.value == "ok" else {"error": result.error}
        results.write(json.dumps({"custom_id": result.key, **told}) + "\n")
