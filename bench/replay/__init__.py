"""Recorded sessions of a coding agent, played again through the wrapper against the simulated provider's cache."""

from __future__ import annotations

__all__: list[str] = []
