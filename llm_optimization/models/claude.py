"""Sampling parameters, for the models and under the API version that take them."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from typing import Any

from scheduler.providers.anthropic.versions import SAMPLING_PARAMETERS, settle_sampling

__all__ = ["sampled"]

_log = logging.getLogger(__name__)


def sampled(provider: str, configuration: Mapping[str, Any], arguments: dict[str, Any]) -> dict[str, Any]:
    """The arguments of a Claude model such that the provider does not answer 400 to their sampling parameters.

    Those that the model takes under no API version are left out, and logged; others travel under the older version,
    also where nothing wraps the model.
    """
    settled = settle_sampling(arguments)
    if settled.dropped:
        _log.info("%s: %s takes no sampling; left out: %s", provider, arguments["model"], ", ".join(settled.dropped))
    if settled.params.keys().isdisjoint(SAMPLING_PARAMETERS):
        return settled.params
    headers = {"anthropic-version": settled.api_version, **(arguments.get("default_headers") or {})}
    return {**settled.params, "default_headers": headers}
