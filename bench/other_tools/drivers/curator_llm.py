# mypy: ignore-errors
"""bespokelabs-curator in batch mode; a new process makes the same call, which its cache resumes.

The total of its own summary stays at $0.000, so the costs it notes with the responses are added up.
"""

import json
import os
import sys
from pathlib import Path

from bespokelabs import curator
from datasets import Dataset

requests_file, results_file = sys.argv[1:]
requests = [json.loads(line) for line in Path(requests_file).read_text().splitlines()]


class Ask(curator.LLM):
    """One prompt per row."""

    def prompt(self, row):
        request = json.loads(row["request"])["params"]
        system = [{"role": "system", "content": request["system"]}] if "system" in request else []
        return system + request["messages"]

    def parse(self, row, response):
        return {"custom_id": row["custom_id"], "text": response}


ask = Ask(
    model_name=requests[0]["params"]["model"],
    backend="anthropic",
    batch=True,
    generation_params={"max_tokens": requests[0]["params"]["max_tokens"]},
    backend_params={"batch_check_interval": 1, "base_url": os.environ["ANTHROPIC_BASE_URL"]},
)
rows = [{"custom_id": request["custom_id"], "request": json.dumps(request)} for request in requests]
response = ask(Dataset.from_list(rows), working_dir="cache")
with Path(results_file).open("w") as results:
    for row in response.dataset:
        results.write(json.dumps({"custom_id": row["custom_id"], "text": row["text"]}) + "\n")
noted = [json.loads(line) for file in Path("cache").glob("**/responses_*.jsonl") for line in file.open()]
Path("cost").write_text(str(sum(one["response_cost"] for one in noted)))
