# mypy: ignore-errors
"""instructor's BatchProcessor. It keeps nothing itself, so the id is kept here, as with the bare SDK."""

import json
import sys
import time
from pathlib import Path

from instructor.batch import BatchProcessor
from pydantic import BaseModel


class Answer(BaseModel):
    """What the model fills in."""

    number: int
    why: str


requests_file, results_file = sys.argv[1:]
requests = [json.loads(line) for line in Path(requests_file).read_text().splitlines()]
names = {f"request-{index}": request["custom_id"] for index, request in enumerate(requests)}
processor = BatchProcessor(f"anthropic/{requests[0]['params']['model']}", Answer)
kept = Path("batch_id")

if not kept.exists():
    file = processor.create_batch_from_messages(
        [request["params"]["messages"] for request in requests], file_path="batch.jsonl", max_tokens=1024
    )
    kept.write_text(processor.submit_batch(file))
while processor.get_batch_status(kept.read_text())["status"] != "ended":
    time.sleep(0.5)
with Path(results_file).open("w") as results:
    for result in processor.get_results(kept.read_text()):
        row = {"custom_id": names.get(result.custom_id, result.custom_id)}
        if result.success:
            row["text"] = result.result.model_dump_json()
        else:
            row["error"] = result.error_message
        results.write(json.dumps(row) + "\n")
