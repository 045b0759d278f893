# mypy: ignore-errors
"""The official SDK, as its documentation shows it: create, keep the id, ask until it has ended, read the results."""

import json
import sys
import time
from pathlib import Path

import anthropic

requests_file, results_file = sys.argv[1:]
client = anthropic.Anthropic()
kept = Path("batch_id")

if not kept.exists():
    requests = [json.loads(line) for line in Path(requests_file).read_text().splitlines()]
    kept.write_text(client.messages.batches.create(requests=requests).id)
batch = kept.read_text()
while client.messages.batches.retrieve(batch).processing_status != "ended":
    time.sleep(0.5)
with Path(results_file).open("w") as results:
    for line in client.messages.batches.results(batch):
        row = {"custom_id": line.custom_id}
        if line.result.type == "succeeded":
            row["text"] = line.result.message.content[0].text
        else:
            row["error"] = line.result.type
        results.write(json.dumps(row) + "\n")
