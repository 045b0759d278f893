"""Where a prompt is worth caching: a decision over positions, and its two forms (wire params, LangChain messages)."""

from __future__ import annotations

__all__: list[str] = []
