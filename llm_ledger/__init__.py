"""PEOPLE: the program, what people run and look at (`llm-ledger`, or `python -m llm_ledger`)."""

from __future__ import annotations

__all__ = ["__version__"]

__version__ = "0.1.0"
