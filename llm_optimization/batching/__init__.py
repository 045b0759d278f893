"""Batches from within an application: the ledger and the scheduler of this process, behind a few calls.

engine = engine_for(account_settings(model), config)
session = BatchSession(engine, total=len(inputs))
outcome = await session.put(params)          # once for each input; they go out together
"""

from __future__ import annotations

from llm_optimization.batching.engine import Engine
from llm_optimization.batching.engines import account_settings, engine_for
from llm_optimization.batching.lines import Line, Names
from llm_optimization.batching.outcomes import Outcome
from llm_optimization.batching.session import BatchSession, fresh_key

__all__ = ["BatchSession", "Engine", "Line", "Names", "Outcome", "account_settings", "engine_for", "fresh_key"]
