"""The whole loop in one command, without a key: questions, a crash on purpose, the bill, what was saved.

questions  what is asked         stage  the processes: simulator, submit, run, the kill
story      what happens, in order       telling  how it is told
"""

from __future__ import annotations

from llm_ledger.demo.story import run_demo

__all__ = ["run_demo"]
