"""What an event says, in one line for people."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, Final

import msgspec

from ledger.pricing import usd_text
from llm_ledger.cli.words import counted, dollars, plain

__all__ = ["gist"]

_TOLD: Final = (
    "batch_id",
    "role",
    "provider_batch_id",
    "reason",
    "problem",
    "state",
    "error_type",
    "message",
    "note",
)


def gist(event_type: str, data: msgspec.Raw) -> str:
    """The telling parts of an event, in one line; `data` as it was written."""
    fields = msgspec.json.decode(data)
    spell = _WORDS.get(event_type)
    told = spell(fields) if spell is not None else None
    return plain(told if told is not None else _plainly(fields))


def _plainly(fields: Mapping[str, Any]) -> str:
    return ", ".join(f"{name} {fields[name]}" for name in _TOLD if fields.get(name) not in (None, ""))


def _planned(fields: Mapping[str, Any]) -> str | None:
    twin_of = fields.get("twin_of")
    return f"the provider carried out batch {twin_of} a second time, as this one" if twin_of else None


def _submission_started(fields: Mapping[str, Any]) -> str | None:
    reserved = fields.get("reserved")
    return None if reserved is None else f"{dollars(usd_text(reserved))} at most, held back from the budget"


def _duplicate(fields: Mapping[str, Any]) -> str:
    known_as = f", on record as batch {fields['twin_id']}" if fields.get("twin_id") else ""
    return f"the provider also holds {fields['provider_batch_id']}{known_as}"


def _collected(fields: Mapping[str, Any]) -> str:
    counts = fields.get("counts") or {}
    kinds = ", ".join(f"{count:,} {kind}" for kind, count in counts.items() if count)
    parts = [
        counted(fields["lines"], "line") + (f": {kinds}" if kinds else ""),
        f"{fields['foreign']:,} not of this batch" if fields.get("foreign") else "",
        f"{fields['repeated']:,} repeated" if fields.get("repeated") else "",
        f"{counted(fields['missing'], 'item')} given up as lost" if fields.get("missing") else "",
    ]
    return "; ".join(part for part in parts if part)


def _retry(fields: Mapping[str, Any]) -> str:
    way = ", as a standard call" if fields.get("processing") == "standard" else ""
    return f"attempt {fields['attempt']}{way}, from {fields['due_at']}: {fields['reason']}"


def _call(fields: Mapping[str, Any]) -> str:
    return f"attempt {fields['attempt']}, a standard call, over by {fields['deadline']}"


_WORDS: Final[Mapping[str, Callable[[Mapping[str, Any]], str | None]]] = {
    "batch.planned": _planned,
    "batch.submission_started": _submission_started,
    "batch.duplicate_detected": _duplicate,
    "batch.results_collected": _collected,
    "request.retry_scheduled": _retry,
    "request.call_started": _call,
}
