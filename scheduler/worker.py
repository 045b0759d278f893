"""One worker: finds what is due, takes the lease on it, makes one step. Any number of them share a ledger."""

from __future__ import annotations

import logging
import os
import socket
from collections.abc import Callable
from typing import Final

from sqlalchemy import or_, select

from ledger import schema
from ledger.clock import Clock, to_micros
from ledger.errors import ConfigurationError, ProviderError, VersionConflict
from ledger.projections import BatchRow
from ledger.queries import batch as read_batch
from scheduler.accumulator import accumulate
from scheduler.collect import collect
from scheduler.context import Context
from scheduler.health import ProviderHealth
from scheduler.leases import Lease, LeaseLost, Leases
from scheduler.machine import FAR, Step, next_step
from scheduler.mishaps import Mishaps
from scheduler.poll import poll
from scheduler.reconcile import reconcile
from scheduler.retry import retry
from scheduler.submit import submit, suspect

__all__ = ["Worker"]

_log = logging.getLogger(__name__)

_STEPS: Final[dict[Step, Callable[[Context, BatchRow, Lease], bool]]] = {
    Step.SUBMIT: submit,
    Step.SUSPECT: suspect,
    Step.RECONCILE: reconcile,
    Step.POLL: poll,
    Step.COLLECT: collect,
}

_TERMINAL: Final = frozenset({"collected", "failed"})


class Worker:
    """The steps of one process. `owner` names it in leases, by default as host:process:id; thread-safe."""

    def __init__(self, context: Context, owner: str | None = None) -> None:
        self._context = context
        self._owner = owner or f"{socket.gethostname()}:{os.getpid()}:{context.ledger.ids.new()}"
        self.health = ProviderHealth(context.ledger.clock)
        self.mishaps = Mishaps(context.ledger.clock)
        self.leases = Leases(context.ledger, self._owner, context.policy().lease_seconds)

    @property
    def clock(self) -> Clock:
        """The clock that it goes by."""
        return self._context.ledger.clock

    def plan(self) -> int:
        """Decide about failed attempts, then make batches of what waits. Returns how many requests moved."""
        return retry(self._context) + accumulate(self._context)

    def advance(self) -> bool:
        """Make one step with one batch that is due and nobody else's. False if there is none.

        Raises `ConfigurationError` (and so `DatabaseUnusable`): no batch fares better then. Any other failure of
        a step is that batch's alone, and becomes one of `mishaps`.
        """
        if self.health.paused:
            return False
        for batch_id in self._due():
            lease = self.leases.acquire(batch_id)
            if lease is not None:
                self._step(batch_id, lease)
                return True
        return False

    def tick(self) -> int:
        """Everything that is due now, once: plan, then advance until nothing is due. Returns the steps made."""
        steps = self.plan()
        while self.advance():
            steps += 1
        return steps

    def _due(self) -> list[str]:
        batch, lease = schema.batches.c, schema.leases.c
        now = to_micros(self._context.now())
        query = (
            select(batch.id)
            .outerjoin_from(schema.batches, schema.leases, lease.id == batch.id)
            .where(
                batch.due_at.is_not(None),
                or_(batch.due_at <= now, batch.due_at > now + FAR),
                batch.provider == self._context.provider.name,
                or_(lease.lease_until.is_(None), lease.lease_until <= now, lease.lease_until > now + FAR),
                batch.id.not_in(self.mishaps.resting()),
            )
            .order_by(batch.due_at)
            .limit(16)
        )
        with self._context.ledger.read() as connection:
            return list(connection.scalars(query))

    def _step(self, batch_id: str, lease: Lease) -> None:
        forget = False
        try:
            # Read under the lease: what was due a moment ago may have been done by its last holder.
            batch = read_batch(self._context.ledger, batch_id)
            step = _STEPS.get(next_step(batch, to_micros(self._context.now())))
            if step is not None and step(self._context, batch, lease):
                self.health.answered()
            forget = read_batch(self._context.ledger, batch_id).status in _TERMINAL
            self.mishaps.over(batch_id)
        except ProviderError as error:
            self.health.failed(error)
        except (LeaseLost, VersionConflict) as lost:
            _log.info("batch %s: another worker has it (%s)", batch_id, lost)
        except ConfigurationError:
            raise
        except Exception as error:
            self.mishaps.happened(batch_id, error)
        finally:
            self.leases.release(lease, forget=forget)
