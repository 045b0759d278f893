"""Whose batch is it? Batches are seen and read only by the account that made them."""

from __future__ import annotations

import logging
from itertools import islice, takewhile
from typing import Final

import msgspec

from ledger.events import BatchPolled, batch_stream
from ledger.projections import BatchRow
from scheduler.context import Context, batch_event
from scheduler.leases import Lease
from scheduler.policy import account_delay
from scheduler.providers.base import Account

__all__ = ["wrong_account"]

_log = logging.getLogger(__name__)

_LOOKS: Final = 12
"""So many looks at another account's batch, and the wait between them grows no more."""


def wrong_account(context: Context, batch: BatchRow, lease: Lease) -> bool:
    """True if the present credential is another account's: the batch then waits, and the log says for what."""
    theirs = msgspec.json.decode(batch.account or "null", type=Account | None)
    ours = context.provider.account()
    if theirs is None or theirs == ours:
        return False
    problem = (
        f"this batch belongs to another account ({theirs.base_url}, credential {theirs.credential[:8]}); "
        "set that account's key again to go on with it"
    )
    if batch.note != problem:
        _log.warning("batch %s: %s", batch.id, problem)
    delay = account_delay(_looks(context, batch, problem), context.random())
    data = BatchPolled(next_poll_at=context.after(delay), problem=problem)
    context.ledger.append([batch_event(context, batch, data)], guard=lease.guard)
    return True


def _looks(context: Context, batch: BatchRow, problem: str) -> int:
    """How often in a row this has been found. Not its polls: a key that was wrong for a moment costs a minute."""
    newest = islice(context.ledger.events(stream=batch_stream(batch.id), newest_first=True), _LOOKS)
    told = takewhile(lambda event: isinstance(event.data, BatchPolled) and event.data.problem == problem, newest)
    return sum(1 for _ in told)
