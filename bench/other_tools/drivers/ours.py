"""llm-ledger's commands: `submit`, `run --until-idle`, `results`; a new process gives the same ones."""

import json
import subprocess
import sys
from pathlib import Path

requests_file, results_file = sys.argv[1:]
command = [sys.executable, "-m", "llm_ledger"]
subprocess.run([*command, "submit", requests_file], check=True)
subprocess.run([*command, "run", "--until-idle"], check=True)
read = subprocess.run([*command, "results"], check=True, capture_output=True, text=True).stdout
with Path(results_file).open("w") as results:
    for line in map(json.loads, read.splitlines()):
        row = {"custom_id": line["custom_id"]}
        if line["result"]["type"] == "succeeded":
            row["text"] = line["result"]["message"]["content"][0]["text"]
        else:
            row["error"] = line["result"]["type"]
        results.write(json.dumps(row) + "\n")
told = subprocess.run([*command, "savings", "--json"], check=True, capture_output=True, text=True).stdout
Path("cost").write_text(str(json.loads(told)["cost"]["actual"]))
