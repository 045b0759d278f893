"""Whose batch is it? Batches are seen and read only by the account that made them."""

from __future__ import annotations

import logging
from typing import Final

import msgspec

from ledger.events import BatchPolled
from ledger.projections import BatchRow
from scheduler.context import Context, batch_event
from scheduler.leases import Lease
from scheduler.providers.base import Account

__all__ = ["wrong_account"]

_log = logging.getLogger(__name__)

WAIT_SECONDS: Final = 60.0


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
    data = BatchPolled(next_poll_at=context.after(WAIT_SECONDS), problem=problem)
    context.ledger.append([batch_event(context, batch, data)], guard=lease.guard)
    return True
