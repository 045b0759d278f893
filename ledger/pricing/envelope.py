"""Usage as LangChain tells it, which is how the usage of every provider but Anthropic reaches us.

The envelope is `{"usage_metadata": <UsageMetadata>, "reported": <the provider's own token usage, or null>}`. Its
`input_tokens` is inclusive: it counts what was read from and written to a cache, too. The details take it apart:

    cache_read                       read
    cache_creation                   written, its lifetime not named
    ephemeral_5m_, ephemeral_1h_     written, by lifetime; `cache_creation` is 0 beside them, or their sum

Under a service tier LangChain's OpenAI classes put its name in front (`priority_cache_read`).
Source: `langchain-core` 1.7 (`messages/ai.py`) and the integrations of the 14 providers as of November 2026.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from ledger.errors import UsageUnreadable
from ledger.pricing.counts import Tokens, count, section

__all__ = ["opened"]

_TIERS: Final = ("priority", "flex")


def opened(envelope: Mapping[str, Any]) -> tuple[Tokens, str]:
    """The tokens of an envelope, and the service tier: "priority", "flex" or "". Raises `UsageUnreadable`.

    A write whose lifetime is not named counts as one of 5 minutes. Where the details come to more than the total
    they are part of, they are believed, and nothing is left uncached: some integration forgot to add them up, and
    a negative count would lower a bill. Web searches are counted where Anthropic's format reports them.
    """
    usage, where = envelope["usage_metadata"], "usage.usage_metadata"
    if not isinstance(usage, Mapping):
        raise UsageUnreadable(where, f"expected an object, got {type(usage).__name__}")
    details = section(usage, "input_token_details", where)
    tier = next((name for name in _TIERS if name in details), "")
    prefix, within = f"{tier}_" if tier else "", f"{where}.input_token_details"
    read = count(details, f"{prefix}cache_read", within)
    five_minutes = count(details, "ephemeral_5m_input_tokens", within)
    hour = count(details, "ephemeral_1h_input_tokens", within)
    five_minutes = max(five_minutes, count(details, f"{prefix}cache_creation", within) - hour)
    tools = section(section(envelope, "reported", "usage"), "server_tool_use", "usage.reported")
    tokens = Tokens(
        max(0, count(usage, "input_tokens", where) - read - five_minutes - hour),
        five_minutes,
        hour,
        read,
        count(usage, "output_tokens", where),
        count(tools, "web_search_requests", "usage.reported.server_tool_use"),
    )
    return tokens, tier
