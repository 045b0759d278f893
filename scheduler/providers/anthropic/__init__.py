"""Anthropic's Message Batches API, on the official SDK.

Importing this package does not import the SDK; the first check or call does.
"""

from __future__ import annotations

from scheduler.providers.anthropic.client import AnthropicBatches
from scheduler.providers.anthropic.results import parse_result
from scheduler.providers.anthropic.rules import AnthropicRules
from scheduler.providers.anthropic.settings import AnthropicSettings
from scheduler.providers.anthropic.versions import Settled, settle_sampling

__all__ = ["AnthropicBatches", "AnthropicRules", "AnthropicSettings", "Settled", "parse_result", "settle_sampling"]
