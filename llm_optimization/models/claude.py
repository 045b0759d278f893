"""Sampling parameters, for the models and under the API version that take them."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from typing import Any

from llm_optimization.exceptions import InvalidRequest
from scheduler.providers.anthropic.versions import SAMPLING_PARAMETERS, required_version

__all__ = ["sampled"]

_logger = logging.getLogger(__name__)


def sampled(provider: str, configuration: Mapping[str, Any], arguments: dict[str, Any]) -> dict[str, Any]:
    """The arguments of a Claude model such that the provider does not answer 400 to their sampling parameters.

    Those that the model takes under no API version are left out, and logged; others travel under the older version.
    """
    sampling = {name: arguments[name] for name in SAMPLING_PARAMETERS if arguments.get(name) is not None}
    if not sampling:
        return arguments
    try:
        version = required_version({"model": arguments["model"], "messages": [], **sampling})
    except InvalidRequest as refusal:
        _logger.info("%s: %s; left out", provider, refusal)
        return {name: value for name, value in arguments.items() if name not in sampling}
    headers = {"anthropic-version": version, **(arguments.get("default_headers") or {})}
    return {**arguments, "default_headers": headers}
