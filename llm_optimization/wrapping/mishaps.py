"""Errors of ours: said once per kind, and never in the way of a call."""

from __future__ import annotations

import logging

__all__ = ["mishap"]

_log = logging.getLogger("llm_optimization")
_said: set[tuple[str, str]] = set()


def mishap(what: str, error: BaseException) -> None:
    """Log that `what` went wrong, the first time that an error of this type does.

    Errors of the ledger's own tree are quoted; of others only the type is, since their text may quote a prompt.
    """
    kind = (what, type(error).__qualname__)
    if kind in _said:
        return
    _said.add(kind)
    _log.warning("%s; calls go on without (said once): %s", what, _told(error))


def _told(error: BaseException) -> str:
    from ledger.errors import LedgerError

    name = type(error).__name__
    return f"{name}: {error}" if isinstance(error, LedgerError) else name
