"""A local Anthropic-compatible provider with prompt cache, batches, its own bill, faults and a virtual clock.

The official SDK and LangChain work against it unchanged once `ANTHROPIC_BASE_URL` points at it. It imports
nothing of the ledger: what it bills is reckoned from its own price list, so that it can be the judge.

    with running(SimulatorConfig(batch_seconds=0)) as simulator:
        client = Anthropic(base_url=simulator.base_url, api_key="any key is an account")
        ...
        assert ledger_total == Decimal(simulator.bill()["total"])
"""

from llm_ledger.simulator.app import create_app
from llm_ledger.simulator.config import SimulatorConfig
from llm_ledger.simulator.outcomes import AccidentRule
from llm_ledger.simulator.server import RunningSimulator, running, serve

__all__ = ["AccidentRule", "RunningSimulator", "SimulatorConfig", "create_app", "running", "serve"]
