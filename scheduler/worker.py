"""One worker: finds what is due, takes it, makes one step. Any number of them share a ledger.

Batches come first, each under a lease; then requests whose last resort is a standard call.
"""

from __future__ import annotations

import logging
import os
import socket
from collections.abc import Callable
from typing import Any, Final

from sqlalchemy import bindparam, exists, literal_column, or_, select, tuple_

from ledger import schema
from ledger.clock import Clock, to_micros
from ledger.crash_points import within
from ledger.errors import ConfigurationError, ProviderError, VersionConflict
from ledger.projections import BatchRow
from ledger.queries import batch as read_batch
from scheduler.account import AnotherAccount
from scheduler.accumulator import accumulate
from scheduler.audit import Finding, audit
from scheduler.budget import BudgetHold, ModelUnpriced
from scheduler.call import Calls, Standing
from scheduler.collect import collect
from scheduler.context import Context
from scheduler.health import Operation, ProviderHealth
from scheduler.held import STANDARD_CALLS, Held
from scheduler.leases import Lease, LeaseLost, Leases
from scheduler.machine import FAR, Step, next_step
from scheduler.mishaps import Mishaps
from scheduler.outage import Outage
from scheduler.policy import account_delay
from scheduler.poll import poll
from scheduler.reconcile import reconcile
from scheduler.rests import Rests
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

_OPERATIONS: Final[dict[str, Operation]] = {
    "planned": "create",
    "uncertain": "read",
    "in_progress": "read",
    "canceling": "read",
    "ended": "read",
}
"""What the next step of a batch in that status asks of the provider; nothing, where it is not named."""

_READINGS: Final = 100
"""So many batches that may be ours are read in one audit, at most; the others in later ones."""

_TERMINAL: Final = frozenset({"collected", "failed"})

_LOOK: Final = 16

_BATCH: Final = schema.batches.c
_LEASE: Final = schema.leases.c
_DUE: Final = (
    select(_BATCH.id, _BATCH.status)
    .outerjoin_from(schema.batches, schema.leases, _LEASE.id == _BATCH.id)
    .where(
        _BATCH.due_at.is_not(None),
        or_(_BATCH.due_at <= bindparam("now"), _BATCH.due_at > bindparam("far")),
        _BATCH.provider == bindparam("provider"),
        or_(
            _LEASE.lease_until.is_(None),
            _LEASE.lease_until <= bindparam("now"),
            _LEASE.lease_until > bindparam("far"),
        ),
        _BATCH.id.not_in(bindparam("resting", expanding=True)),
        _BATCH.status.not_in(bindparam("left_alone", expanding=True)),
        # One that is to be sent, or is handed over to this account, does not wait for the other one's key.
        or_(
            _BATCH.status == literal_column("'planned'"),
            tuple_(_BATCH.id, _BATCH.account).not_in(bindparam("elsewhere", expanding=True)),
        ),
    )
    .order_by(_BATCH.due_at)
    .limit(literal_column(str(_LOOK)))  # written out: SQLite plans a statement anew for every bound limit
)
# What is with a provider already is its account's to see to; what is to be sent goes under the sender's.
_DUE_OF_KEYS: Final = _DUE.where(
    or_(
        _BATCH.status != literal_column("'planned'"),
        exists()
        .where(
            schema.request_states.c.batch_id == _BATCH.id,
            schema.request_states.c.status == literal_column("'batched'"),
        )
        .where(schema.requests.c.seq == schema.request_states.c.seq)
        .where(schema.requests.c.key.in_(bindparam("keys", expanding=True))),
    )
)


class Worker:
    """The steps of one process. `owner` names it in leases, by default as host:process:id; thread-safe.

    `health` is how the provider does, `held` what the budget keeps from being sent, `mishaps` what broke its step,
    `elsewhere` the batches of other accounts, by id and account.
    """

    def __init__(self, context: Context, owner: str | None = None) -> None:
        self._context = context
        self._owner = owner or f"{socket.gethostname()}:{os.getpid()}:{context.ledger.ids.new()}"
        self.health = ProviderHealth(context.ledger.clock)
        self.mishaps = Mishaps(context.ledger.clock)
        self.held = Held(context.ledger.clock)
        self.elsewhere: Rests[tuple[str, str], AnotherAccount] = Rests(
            context.ledger.clock, lambda looks: account_delay(looks, context.random())
        )
        self.calls = Calls(context)
        self._found: set[Finding] = set()
        self.outage = Outage(context.ledger)
        self.leases = Leases(context.ledger, self._owner, context.policy().lease_seconds)

    @property
    def clock(self) -> Clock:
        """The clock that it goes by."""
        return self._context.ledger.clock

    def plan(self) -> int:
        """Decide about failed attempts, then make batches of what waits. Returns how many requests moved."""
        with within("retry"):
            moved = retry(self._context)
        with within("plan"):
            return moved + accumulate(self._context)

    def advance(self) -> bool:
        """Make one step with one batch or request that is due and nobody else's. False if there is none.

        Raises `ConfigurationError` (and so `DatabaseUnusable`): nothing fares better then. Any other failure of
        a step is that batch's or request's alone, and becomes one of `mishaps`.
        """
        return self._advance_batch() or self._advance_call()

    def _advance_batch(self) -> bool:
        for batch_id, status in self._due():
            operation = _OPERATIONS.get(status)
            if operation is not None and not self.health.admits(operation):
                continue
            lease = self.leases.acquire(batch_id)
            if lease is not None:
                self._step(batch_id, lease)
                return True
        return False

    def _advance_call(self) -> bool:
        if self.calls.record_answer():
            return True
        standing: list[Standing] = ["calling"]
        resting = self.held.resting()
        if STANDARD_CALLS not in resting and "call" not in self.health.pausing():
            standing.append("fallback")
        for request_id, status in self.calls.due(standing, but=[*resting, *self.mishaps.resting()]):
            if status == "calling":
                with within("call"):
                    self.calls.give_up(request_id)
                return True
            if self.health.admits("call") and self._call(request_id):
                return True
        return False

    def tick(self) -> int:
        """Everything that is due now, once: plan, then advance until nothing is due. Returns the steps made."""
        steps = self.plan()
        while self.advance():
            steps += 1
        return steps

    def audit(self) -> int:
        """Compare the provider's batches with the ledger, and set right what can be. Returns for how many.

        What is found is said once. A provider that does not answer is noted in `health`.
        """
        if not self.health.admits("read"):
            return 0
        try:
            with within("audit"):
                findings = audit(self._context, most_readings=_READINGS).findings
        except ProviderError as error:
            self.health.failed(error, "read")
            return 0
        self.health.answered("read")
        new = [finding for finding in findings if finding not in self._found]
        self._found.update(new)
        for finding in new:
            _say(finding)
        return sum(finding.verdict in ("adopted", "twin") for finding in new)

    def _due(self) -> list[tuple[str, str]]:
        """Id and status of batches for which a step may be made now."""
        now, pausing = to_micros(self._context.now()), self.health.pausing()
        place: dict[str, Any] = {
            "now": now,
            "far": now + FAR,
            "provider": self._context.provider.name,
            "resting": [*self.mishaps.resting(), *self.held.resting()],
            "left_alone": [status for status, operation in _OPERATIONS.items() if operation in pausing],
            "elsewhere": self.elsewhere.resting(),
        }
        query = _DUE
        if self._context.keys is not None:
            query, place["keys"] = _DUE_OF_KEYS, list(self._context.keys())
        with self._context.ledger.read() as connection:
            return [(row.id, row.status) for row in connection.execute(query, place)]

    def _step(self, batch_id: str, lease: Lease) -> None:
        forget = False
        operation: Operation | None = None
        try:
            # Read under the lease: what was due a moment ago may have been done by its last holder.
            batch = read_batch(self._context.ledger, batch_id)
            step = next_step(batch, to_micros(self._context.now()))
            operation = _OPERATIONS.get(batch.status)
            if (act := _STEPS.get(step)) is not None:
                with within(step.value):
                    asked = act(self._context, batch, lease)
                if asked:
                    self.health.answered(operation)
            forget = read_batch(self._context.ledger, batch_id).status in _TERMINAL
            self.mishaps.over(batch_id)
            self.held.over(batch_id)
            if forget:
                self.held.freed()
        except ProviderError as error:
            self.health.failed(error, operation)
        except BudgetHold as error:
            self.held.happened(batch_id, error)
        except AnotherAccount as error:
            self.elsewhere.happened((error.batch_id, error.account), error)
        except (LeaseLost, VersionConflict) as lost:
            _log.info("batch %s: another worker has it (%s)", batch_id, lost)
        except ConfigurationError:
            raise
        except Exception as error:
            self.mishaps.happened(batch_id, error)
        finally:
            self.leases.release(lease, forget=forget)

    def _call(self, request_id: str) -> bool:
        """Make a standard call. False if somebody else has the request."""
        try:
            with within("call"):
                if not self.calls.make(request_id):
                    return False
            self.health.answered("call")
            self.mishaps.over(request_id)
            self.held.over(request_id)
            self.held.over(STANDARD_CALLS)
        except ProviderError as error:
            self.health.failed(error, "call")
        except BudgetHold as error:
            self.held.happened(request_id if isinstance(error, ModelUnpriced) else STANDARD_CALLS, error)
        except ConfigurationError:
            raise
        except Exception as error:
            self.mishaps.happened(request_id, error)
        return True


def _say(finding: Finding) -> None:
    """That something of ours is there twice, or gone, is for people to know; what others have made is not."""
    level = logging.WARNING if finding.verdict in ("twin", "differs", "missing") else logging.DEBUG
    ours = f" (batch {finding.batch_id})" if finding.batch_id is not None else ""
    _log.log(level, "audit: %s%s: %s, %s", finding.provider_batch_id, ours, finding.verdict, finding.done)
