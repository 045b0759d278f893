"""Older events, read as if they had been written today.

When an event's shape changes, its `SCHEMA_VERSION` goes up by one and a function here turns the older body into
the newer one. Stored rows never change. There is none yet: every event is at version 1.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final

from ledger.errors import LedgerCorrupt
from ledger.events import CATALOGUE

__all__ = ["SCHEMA_VERSIONS", "check_chain", "upcast"]

Body = dict[str, Any]

UPCASTERS: Final[dict[tuple[str, int], Callable[[Body], Body]]] = {}
"""(event type, version) → a function that returns the body at version + 1."""

SCHEMA_VERSIONS: Final[dict[str, int]] = {name: cls.SCHEMA_VERSION for name, cls in CATALOGUE.items()}


def check_chain() -> None:
    """Fail at start-up, not in the middle of a rebuild, if some older version cannot be read any more."""
    for name, current in SCHEMA_VERSIONS.items():
        for version in range(1, current):
            if (name, version) not in UPCASTERS:
                raise LedgerCorrupt(
                    f"no upcaster from version {version} of {name}: it cannot read older events; "
                    "install a complete llm-ledger"
                )


def upcast(event_type: str, version: int, body: Body) -> Body:
    """The body at the current schema version. Raises `LedgerCorrupt` for one that this release does not know."""
    current = SCHEMA_VERSIONS.get(event_type)
    if current is None or version > current:
        raise LedgerCorrupt(
            f"event {event_type} version {version} is from a newer llm-ledger; upgrade this installation"
        )
    if version < 1:
        raise LedgerCorrupt(f"event {event_type} has version {version}, and versions begin at 1")
    for step in range(version, current):
        body = UPCASTERS[event_type, step](body)
    return body
