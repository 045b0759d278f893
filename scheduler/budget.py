"""The budget: a submission is stopped before it is made, if what it may cost does not fit any more.

What it may cost is reserved with the intent to send it, in the same transaction, under the head lock. So workers that
submit at the same time see each other's reservations, and together never reach beyond the budget. What it did cost
takes the place of the reservation when its results are collected; if it is not sent after all, it is freed.

A day is a UTC day of the provider's clock, which decides what is billed when. What was sent and may have been made on
either of two days counts in both.
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from datetime import datetime, timedelta
from typing import Final, Literal, NamedTuple
from weakref import WeakKeyDictionary

from sqlalchemy import Connection, Transaction, func, literal_column, select

from ledger import Ledger, schema
from ledger.clock import from_micros
from ledger.errors import SubmissionHeld
from ledger.events import BatchSubmissionRefused
from ledger.pricing import usd_text
from ledger.projections import BatchRow, RequestRow
from ledger.queries import active_batches
from ledger.spending import spent
from scheduler.context import Context, batch_event
from scheduler.leases import Lease
from scheduler.policy import Policy
from scheduler.reservation import Estimate, batch_estimate, calls_estimate, fitting, request_estimate
from scheduler.split import split_at, split_off

__all__ = ["BudgetHold", "BudgetReached", "ModelUnpriced", "call_guard", "guard", "held", "hold", "reservation"]

_VARIABLE: Final = "LLM_LEDGER_BUDGET_USD"
_REACHED: Final = "budget reached: "
_UNPRICED: Final = "budget unknown: "

Guard = Callable[[Connection], None]


class BudgetHold(SubmissionHeld):
    """The budget keeps something from being sent; it stays queued."""


class BudgetReached(BudgetHold):
    """What something may cost does not fit into what is left of the budget, `in_total` or of a day.

    Money in pico-USD: `spent` so far, `reserved` for what is under way, `wanted` for this. `resets` is when the next
    day's budget begins (UTC, on the provider's clock), None if it never does.
    """

    def __init__(
        self, *, spent: int, reserved: int, wanted: int, budget: int, resets: datetime | None, what: str = "batch"
    ) -> None:
        a_day, then = ("", "") if resets is None else (" a day", f"goes on at {resets:%H:%M} UTC; ")
        super().__init__(
            f"{_REACHED}${usd_text(spent)} of ${usd_text(budget)}{a_day} spent, ${usd_text(reserved)} reserved, this "
            f"{what} may cost up to ${usd_text(wanted)}; {then}raise {_VARIABLE} to go on with it"
        )
        self.spent = spent
        self.reserved = reserved
        self.wanted = wanted
        self.budget = budget
        self.resets = resets

    @property
    def room(self) -> int:
        """What may still be spent."""
        return max(self.budget - self.spent - self.reserved, 0)


class ModelUnpriced(BudgetHold):
    """There is a budget, and nobody can tell what these models cost: nothing of theirs is sent."""

    def __init__(self, models: tuple[str, ...]) -> None:
        super().__init__(
            f"{_UNPRICED}no price is known for {', '.join(models)}; upgrade llm-ledger for newer prices, or unset "
            f"{_VARIABLE} to send it without a bound"
        )
        self.models = models


def reservation(context: Context, batch: BatchRow) -> int | None:
    """What the batch may cost at most, in pico-USD; None if one of its models has no price."""
    estimate = _batch_estimate(context, batch)
    return None if estimate.unpriced else estimate.pico


def guard(context: Context, batch: BatchRow, reserved: int | None) -> Guard:
    """For the append of the batch's intent: raises `BudgetHold` under the head lock if that does not fit any more."""
    policy = context.policy()
    if not _bounded(policy):
        return _nothing
    if reserved is None:
        return _refusing(ModelUnpriced(_batch_estimate(context, batch).unpriced))
    return _guard(context, policy, _Claim("batch", batch.id, reserved))


def call_guard(context: Context, request: RequestRow) -> Guard:
    """The same for a standard call. Raises `ProviderError` if it has to ask what day it is, and cannot."""
    policy = context.policy()
    if not _bounded(policy):
        return _nothing
    if policy.budget_day is not None:
        _hear_the_day(context)
    with context.ledger.read() as connection:
        estimate = request_estimate(connection, request.id, _now(context))
    if estimate.unpriced:
        return _refusing(ModelUnpriced(estimate.unpriced))
    return _guard(context, policy, _Claim("call", request.id, estimate.pico))


def hold(context: Context, batch: BatchRow, lease: Lease, error: BudgetHold) -> None:
    """What becomes of a planned batch that the budget held back: what may be sent of it becomes a batch of its own.

    If there is nothing of that kind its note says why it waits, and `error` is raised, so that the worker leaves it
    alone for a while. It stays due: another worker may be run with another budget.
    """
    if isinstance(error, ModelUnpriced):
        if split_off(context, batch, lease, lambda row: row.model in error.models, str(error)):
            return
    elif isinstance(error, BudgetReached) and not error.reserved:
        with context.ledger.read() as connection:
            count = fitting(connection, batch.id, _now(context), error.room)
        if split_at(context, batch, lease, count, "split: what fits into the budget is sent"):
            return
    if batch.note != str(error):
        waits = BatchSubmissionRefused(reason=str(error), due_at=context.now())
        context.ledger.append([batch_event(context, batch, waits)], guard=lease.guard)
    raise error


def held(ledger: Ledger) -> list[BatchRow]:
    """The batches that the budget keeps from being sent, as far as their notes tell."""
    return [
        row
        for row in active_batches(ledger)
        if row.status == "planned" and (row.note or "").startswith((_REACHED, _UNPRICED))
    ]


class _Claim(NamedTuple):
    """Money that somebody wants to reserve, in pico-USD."""

    what: Literal["batch", "call"]
    id: str
    wanted: int


_granted: Final[WeakKeyDictionary[Transaction, dict[str, int]]] = WeakKeyDictionary()
"""What was granted in a transaction, by id: appends of a group are all guarded before the first of them is stored."""

_granting: Final = threading.Lock()


def _guard(context: Context, policy: Policy, claim: _Claim) -> Guard:
    now = _now(context)
    today = _midnight(now)

    def check(connection: Connection) -> None:
        granted = _of_transaction(connection)
        beside = sum(wanted for other, wanted in granted.items() if other != claim.id)
        beside += calls_estimate(connection, now, but=claim.id).pico
        open_batches = _open_batches(connection, now, but=claim.id)
        bounds: tuple[tuple[int | None, datetime | None], ...]
        bounds = ((policy.budget_total, None), (policy.budget_day, today))
        for budget, since in bounds:
            if budget is None:
                continue
            reserved = beside + sum(one.reserved for one in open_batches if _counts(one, since))
            so_far = spent(connection, since)
            if so_far + reserved + claim.wanted > budget:
                raise BudgetReached(
                    spent=so_far,
                    reserved=reserved,
                    wanted=claim.wanted,
                    budget=budget,
                    resets=since and since + timedelta(days=1),
                    what=claim.what,
                )
        granted[claim.id] = claim.wanted

    return check


def _of_transaction(connection: Connection) -> dict[str, int]:
    transaction = connection.get_transaction()
    assert transaction is not None
    with _granting:
        return _granted.setdefault(transaction, {})


class _Open(NamedTuple):
    """A batch under way, and when it was made; None while that is not known."""

    reserved: int
    made: datetime | None


_BATCH: Final = schema.batches.c
_FIRST: Final = schema.batches.alias("first")
_OPEN: Final = (
    select(
        _BATCH.id,
        # A twin was foreseen by nobody. It costs about as much as the batch whose intent it was made of.
        func.coalesce(_BATCH.reserved, _FIRST.c.reserved),
        _BATCH.created_at,
    )
    .outerjoin_from(schema.batches, _FIRST, _FIRST.c.id == _BATCH.twin_of)
    .where(_BATCH.due_at.is_not(None), _BATCH.status != literal_column("'planned'"))
)


def _open_batches(connection: Connection, at: datetime, *, but: str) -> list[_Open]:
    found = []
    for batch_id, reserved, made in connection.execute(_OPEN).all():
        if batch_id != but:
            # Nothing is reserved for what was sent by a release that did not, or was released and answered after all.
            needed = reserved if reserved is not None else batch_estimate(connection, batch_id, at).pico
            found.append(_Open(needed, made and from_micros(made)))
    return found


def _counts(one: _Open, since: datetime | None) -> bool:
    return since is None or one.made is None or one.made >= since


def _bounded(policy: Policy) -> bool:
    return policy.budget_total is not None or policy.budget_day is not None


def _nothing(_connection: Connection) -> None:
    """Without a budget anything may be sent."""


def _refusing(error: BudgetHold) -> Guard:
    def refuse(_connection: Connection) -> None:
        raise error

    return refuse


def _batch_estimate(context: Context, batch: BatchRow) -> Estimate:
    with context.ledger.read() as connection:
        return batch_estimate(connection, batch.id, _now(context))


def _now(context: Context) -> datetime:
    """The provider's clock, as last heard: that one decides what is billed when. Ours where it never told."""
    return context.provider.provider_time() or context.now()


def _hear_the_day(context: Context) -> None:
    """Before a batch is sent the provider is asked for its newest one; before a call, nothing.

    So what was heard of its clock may be old, and the budget of a day gone by would keep everything waiting.
    """
    told = context.provider.provider_time()
    if told is None or told.date() != context.now().date():
        context.provider.newest_batch()


def _midnight(instant: datetime) -> datetime:
    return instant.replace(hour=0, minute=0, second=0, microsecond=0)
