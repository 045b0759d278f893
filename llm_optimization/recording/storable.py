"""Making values storable: a call is never unrecorded because of what somebody called it.

Bounds are those of `scheduler.intake`, where they are errors; here they cut. What looks like a credential is taken
out of texts that come from elsewhere.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any, Final

from scheduler.intake import MAX_TAGS

__all__ = ["count", "instant", "message", "name", "tags"]

_MOST_TOKENS: Final = 2**53
_NAME: Final = 200
_MESSAGE: Final = 1000

# Control characters, and half surrogates, which have no UTF-8 form. A message keeps its lines.
_UNUSABLE: Final = re.compile(r"[\x00-\x1f\x7f\ud800-\udfff]")
_UNREADABLE: Final = re.compile(r"[\x00-\x08\x0b-\x1f\x7f\ud800-\udfff]")

_SECRETS: Final = (
    (re.compile(r"(?i)\b(bearer|basic)\s+[^\s\"',;]+"), r"\1 [redacted]"),
    (re.compile(r"(?i)((?:api[-_ ]?key|authorization|password|secret|token)[\"']?\s*[:=]\s*[\"']?)[^\s\"',;&}]{6,}"),
     r"\1[redacted]"),
    (re.compile(r"(?i)([?&]key=)[^\s&\"']+"), r"\1[redacted]"),
    (re.compile(r"(://[^\s:/@]*:)[^\s/@]+@"), r"\1[redacted]@"),
    (re.compile(r"\b(?:sk|pk|rk|gsk|xai|r8|hf|fw|key)[-_][A-Za-z0-9_*-]{6,}"), "[redacted]"),
    (re.compile(r"\b(?:AIza[0-9A-Za-z_-]{10,}|A[KS]IA[0-9A-Z]{12,}|eyJ[0-9A-Za-z_.-]{20,}|(?=[A-Za-z+/]*[0-9])[0-9A-Za-z+/]{40,})"),
     "[redacted]"),
)  # fmt: skip


def name(value: object, *, most: int = _NAME, default: str = "") -> str:
    """A name of at most `most` characters, without control characters."""
    return _UNUSABLE.sub("�", str(value))[:most] if value else default


def message(value: object) -> str:
    """A text from a provider: no credential in it, and no more than a thousand characters."""
    text = _UNREADABLE.sub("�", str(value)[: 4 * _MESSAGE])
    for pattern, instead in _SECRETS:
        text = pattern.sub(instead, text)
    return text if len(text) <= _MESSAGE else f"{text[: _MESSAGE - 1]}…"


def tags(given: Mapping[Any, Any]) -> dict[str, str]:
    """The first eight tags that have a name."""
    named = ((name(key, most=64), name(value, most=256)) for key, value in given.items())
    return dict([(key, value) for key, value in named if key][:MAX_TAGS])


def count(value: object) -> int:
    """A number of tokens; 0 for what is none."""
    return min(max(value, 0), _MOST_TOKENS) if type(value) is int else 0


def instant(value: datetime) -> datetime:
    """The instant in UTC, which is what a time without a zone is taken for."""
    return value.replace(tzinfo=UTC) if value.tzinfo is None else value.astimezone(UTC)
