"""Model work around an answer that is billed apart from it, as `usage.iterations` tells it.

A request asks for it by `metadata.user_id` = `simulate:compaction` (the model first condenses its context) or
`simulate:advisor` (another model is asked for advice). Neither is in the usage's top-level counts, and the
advisor is billed at its own rates.
"""

from __future__ import annotations

import msgspec

from llm_ledger.simulator.catalogue import MODELS, Model
from llm_ledger.simulator.prices import Usage
from llm_ledger.simulator.validation import Request

__all__ = ["Iteration", "further_iterations"]

_ADVISOR = MODELS["claude-opus-5-5"]


class Iteration(msgspec.Struct, frozen=True):
    """One entry of `usage.iterations`; `model` bills it."""

    kind: str
    model: Model
    usage: Usage


def further_iterations(request: Request, usage: Usage) -> list[Iteration]:
    """What was sampled besides the answer itself, whose usage is `usage`."""
    metadata = request.params.get("metadata")
    match metadata.get("user_id") if isinstance(metadata, dict) else None:
        case "simulate:compaction":
            condensed = Usage(uncached=usage.prompt, output=1 + usage.prompt // 8)
            return [Iteration("compaction", request.model, condensed)]
        case "simulate:advisor":
            return [Iteration("advisor_message", _ADVISOR, Usage(uncached=usage.prompt, output=64))]
        case _:
            return []
