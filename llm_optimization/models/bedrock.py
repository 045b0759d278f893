"""Where a model of Bedrock runs, and whose it is."""

from __future__ import annotations

import os
from collections.abc import Mapping
from typing import Any, Final

from llm_optimization.models.entry import given, required

__all__ = ["placed"]

_REGIONS: Final = ("AWS_REGION", "AWS_DEFAULT_REGION")


def placed(provider: str, configuration: Mapping[str, Any], arguments: dict[str, Any]) -> dict[str, Any]:
    """The arguments with the model's own vendor, and sure of a region.

    The configuration's inner `provider` is the vendor; `other` means its `customProvider`. Without either the class
    reads it off the model's id. Without credentials AWS's own chain finds them.
    """
    if "region_name" not in arguments and not any(map(os.environ.get, _REGIONS)):
        required(provider, configuration, "region")
    vendor = given(configuration, "provider")
    if vendor == "other":
        vendor = given(configuration, "customProvider")
    return {"provider": vendor, **arguments} if vendor else arguments
