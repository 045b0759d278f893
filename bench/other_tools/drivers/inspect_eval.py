# mypy: ignore-errors
"""inspect-ai's batch mode: one sample per request. A new process does `eval_retry` on the log of the one before.

Its prices are whatever it is told; it is told those of a batch.
"""

import json
import sys
from pathlib import Path

import inspect_ai
from inspect_ai import Task, task
from inspect_ai.dataset import Sample
from inspect_ai.log import list_eval_logs
from inspect_ai.model import (
    BatchConfig,
    ChatMessageSystem,
    ChatMessageUser,
    GenerateConfig,
    ModelCost,
    set_model_cost,
)
from inspect_ai.solver import generate


@task
def asked(file):
    requests = [json.loads(line) for line in Path(file).read_text().splitlines()]
    samples = [
        Sample(
            id=request["custom_id"],
            input=[ChatMessageSystem(content=block["text"]) for block in request["params"].get("system", [])]
            + [ChatMessageUser(content=request["params"]["messages"][0]["content"])],
        )
        for request in requests
    ]
    params = requests[0]["params"]
    config = GenerateConfig(max_tokens=params["max_tokens"], cache_prompt="system" in params)
    return Task(dataset=samples, solver=generate(), config=config)


def main(requests_file, results_file):
    requests = Path(requests_file).read_text().splitlines()
    model = "anthropic/" + json.loads(requests[0])["params"]["model"]
    set_model_cost(model, ModelCost(input=0.5, output=2.5, input_cache_write=0.625, input_cache_read=0.05))
    options = {"log_dir": "logs", "display": "plain", "max_connections": len(requests)}
    earlier = list_eval_logs("logs") if Path("logs").exists() else []
    if earlier:
        log = inspect_ai.eval_retry(earlier[0].name, **options)[0]
    else:
        batch = BatchConfig(size=len(requests), send_delay=2, tick=0.5)
        log = inspect_ai.eval(asked(str(Path(requests_file).resolve())), model=model, batch=batch, **options)[0]
    with Path(results_file).open("w") as results:
        for sample in log.samples or []:
            told = {"error": sample.error.message} if sample.error else {"text": sample.output.completion}
            results.write(json.dumps({"custom_id": sample.id, **told}) + "\n")
    Path("cost").write_text(str(sum(usage.total_cost or 0 for usage in log.stats.model_usage.values())))
    return log.status != "success"


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
