# mypy: ignore-errors
"""batchwizard's commands: `process` first, `watch` in a later process. Ends with 3 while it wants a person to
`reconcile`, with 1 while nothing has been downloaded.
"""

import json
import subprocess
import sys
from pathlib import Path

requests_file, results_file = sys.argv[1:]
command = [str(Path(sys.executable).with_name("batchwizard"))]
output = ["--output-directory", "out", "--check-interval", "1"]
started = Path("started")

if started.exists():
    subprocess.run([*command, "watch", *output], check=True)
else:
    started.touch()
    subprocess.run([*command, "process", "--provider", "anthropic", *output, requests_file], check=True)
open_intents = subprocess.run([*command, "reconcile"], check=True, capture_output=True, text=True).stdout
if "Unresolved" in open_intents:
    sys.exit(3)
files = list(Path("out").glob("*.jsonl"))
with Path(results_file).open("w") as results:
    for file in files:
        for line in map(json.loads, file.read_text().splitlines()):
            row = {"custom_id": line["custom_id"]}
            if line["result"]["type"] == "succeeded":
                row["text"] = line["result"]["message"]["content"][0]["text"]
            else:
                row["error"] = line["result"]["type"]
            results.write(json.dumps(row) + "\n")
sys.exit(not files)
