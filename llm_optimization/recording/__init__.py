"""Recording of standard calls: what one was, what it used, which events tell it, and the way into the ledger."""

from __future__ import annotations

from llm_optimization.recording.calls import DEFAULT_KEY, Answered, CostUnknown, FinishedCall, Outcome, Refused
from llm_optimization.recording.recorder import CallRecorder, recorder_for

__all__ = [
    "DEFAULT_KEY",
    "Answered",
    "CallRecorder",
    "CostUnknown",
    "FinishedCall",
    "Outcome",
    "Refused",
    "recorder_for",
]
