"""What stands between a plain anthropic client and its HTTP client: requests are marked there, answers heard."""

from __future__ import annotations

__all__: list[str] = []
