"""What every step works with: the ledger, the provider, the policy of the moment, and chance."""

from __future__ import annotations

import random as random_module
import secrets
from collections.abc import Callable, Collection
from datetime import datetime, timedelta
from uuid import UUID

import msgspec

from ledger import Ledger, NewEvent
from ledger.events import EventData, batch_stream, request_stream
from ledger.projections import BatchRow, RequestRow
from scheduler.policy import Policy
from scheduler.providers.base import BatchProvider

__all__ = ["Context", "batch_event", "request_event"]


def _nonce() -> str:
    return secrets.token_hex(8)


class Context(msgspec.Struct, frozen=True, kw_only=True):
    """`policy` is read once per step. `random` and `nonce` are injected, so that a run can be repeated exactly.

    `proven` remembers the nonces that stand in a provider's batch, by its id there: they never change. `read_once`
    holds those that were read whole but once, and the monotonic instant. `looked` is the monotonic instant of the
    first look for a submission, by nonce, used where the provider tells no time.

    `keys` bounds whose requests are sent from here, asked once per step; None is no bound. An application's own loop
    speaks for one account, and others on the same ledger for theirs: it sends what was submitted through it.
    """

    ledger: Ledger
    provider: BatchProvider
    policy: Callable[[], Policy]
    random: Callable[[], float] = random_module.random
    nonce: Callable[[], str] = _nonce
    proven: dict[str, frozenset[str]] = msgspec.field(default_factory=dict)
    read_once: dict[str, tuple[frozenset[str], float]] = msgspec.field(default_factory=dict)
    looked: dict[str, float] = msgspec.field(default_factory=dict)
    keys: Callable[[], Collection[str]] | None = None

    def now(self) -> datetime:
        """The present instant, UTC."""
        return self.ledger.clock.now()

    def after(self, seconds: float) -> datetime:
        """The instant so many seconds from now."""
        return self.now() + timedelta(seconds=seconds)


def batch_event(context: Context, batch: BatchRow, data: EventData, *, ahead: int = 1) -> NewEvent:
    """The event that follows the state in which the batch was read (`ahead` 2: the one after that)."""
    return NewEvent(
        batch_stream(batch.id),
        batch.version + ahead,
        data,
        context.ledger.ids.new(),
        context.now(),
        correlation_id=UUID(batch.id),
    )


def request_event(
    context: Context, row: RequestRow, data: EventData, event_id: UUID | None = None, *, ahead: int = 1
) -> NewEvent:
    """The event that follows the state in which the request was read (`ahead` 2: the one after that)."""
    return NewEvent(
        request_stream(row.id),
        row.version + ahead,
        data,
        event_id or context.ledger.ids.new(),
        context.now(),
        correlation_id=UUID(row.id),
        causation_id=UUID(row.batch_id) if row.batch_id else None,
    )
