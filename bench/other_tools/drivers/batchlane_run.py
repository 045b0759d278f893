# mypy: ignore-errors
"""batchlane's run() with a checkpoint; a new process makes the identical call. It has no setting for another address,
so the adapter's constant is set.
"""

import json
import os
import sys
from pathlib import Path

import batchlane
from batchlane.adapters import anthropic

anthropic.BASE_URL = os.environ["ANTHROPIC_BASE_URL"] + "/v1/messages/batches"
requests_file, results_file = sys.argv[1:]
lines = []
for request in map(json.loads, Path(requests_file).read_text().splitlines()):
    params = request["params"]
    system = [{"role": "system", "content": params["system"]}] if "system" in params else []
    model = "anthropic/" + params["model"]
    lines.append(
        batchlane.BatchLine(
            request["custom_id"], model, system + params["messages"], {"max_tokens": params["max_tokens"]}
        )
    )
answers = []
with Path(results_file).open("w") as results:
    for line, result in batchlane.run(lines, checkpoint="job.jsonl", poll_interval=0.5):
        answers.append(result)
        row = {"custom_id": line.custom_id}
        if result.ok:
            row["text"] = batchlane.answer_text(result)
        else:
            row["error"] = json.dumps(result.error)
        results.write(json.dumps(row) + "\n")
Path("cost").write_text(str(batchlane.actual_cost(answers, "anthropic").batch_usd))
