"""Errors of ours: said once per kind, and never in the way of a call."""

from __future__ import annotations

import logging

__all__ = ["mishap"]

_log = logging.getLogger("llm_optimization")
_said: set[tuple[str, str]] = set()


def mishap(what: str, error: BaseException) -> None:
    """Log that `what` went wrong, the first time that an error of this type does.

    Errors of the ledger's own tree are quoted, but for those about an input. Of these and all others only the type is
    told, since their text may quote a prompt.
    """
    kind = (what, type(error).__qualname__)
    if kind in _said:
        return
    _said.add(kind)
    _log.warning("%s; calls go on without (said once): %s", what, _told(error))


def _told(error: BaseException) -> str:
    from llm_optimization.exceptions import BatchItemFailed, InputError, LedgerError

    name = type(error).__name__
    if isinstance(error, BatchItemFailed):
        return f"{name}: {error.kind}" + (f", {error.error_type}" if error.error_type else "")
    return f"{name}: {error}" if isinstance(error, LedgerError) and not isinstance(error, InputError) else name
