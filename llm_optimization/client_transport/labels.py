"""What one request says about its record, in headers that are for us alone.

    labels = {"x-llm-ledger-tags": "team=search,app=x", "x-llm-ledger-key": "nightly"}
    client.messages.create(..., extra_headers=labels)

Headers are ASCII: anything else, and commas and equal signs within a name or value, are percent-encoded.
"""

from __future__ import annotations

from collections.abc import MutableMapping
from typing import Final
from urllib.parse import unquote

import msgspec

__all__ = ["KEY_HEADER", "TAGS_HEADER", "Labels", "taken_labels"]

TAGS_HEADER: Final = "x-llm-ledger-tags"
KEY_HEADER: Final = "x-llm-ledger-key"


class Labels(msgspec.Struct, frozen=True):
    """The namespace of a request's record, None for the client's own, and tags beside the client's."""

    key: str | None = None
    tags: dict[str, str] = {}


def taken_labels(headers: MutableMapping[str, str]) -> Labels:
    """The labels in a request's headers, which are without them afterwards."""
    return Labels(unquote(headers.pop(KEY_HEADER, "")).strip() or None, _tags(headers.pop(TAGS_HEADER, "")))


def _tags(text: str) -> dict[str, str]:
    pairs = (pair.partition("=") for pair in text.split(",") if "=" in pair)
    return {unquote(name).strip(): unquote(value).strip() for name, _, value in pairs}
