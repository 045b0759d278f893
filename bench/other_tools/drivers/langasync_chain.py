# mypy: ignore-errors
"""langasync around a LangChain model. A new process asks the poller first, as its README says, and submits if that
knows of no job. Results are a list in the order of the inputs, without ids.
"""

import asyncio
import json
import sys
from pathlib import Path

from langasync import BatchJobService, BatchPoller, batch_chain, langasync_settings
from langchain_anthropic import ChatAnthropic

requests_file, results_file = sys.argv[1:]
requests = [json.loads(line) for line in Path(requests_file).read_text().splitlines()]
params = requests[0]["params"]


async def work():
    if not await BatchJobService(langasync_settings).list(pending=False):
        model = ChatAnthropic(model=params["model"], max_tokens=params["max_tokens"])
        await batch_chain(model).submit([request["params"]["messages"][0]["content"] for request in requests])
    with Path(results_file).open("w") as results:
        async for job in BatchPoller().wait_all():
            for request, result in zip(requests, job.results or [], strict=False):
                told = {"error": str(result)} if isinstance(result, Exception) else {"text": result.content}
                results.write(json.dumps({"custom_id": request["custom_id"], **told}) + "\n")


asyncio.run(work())
