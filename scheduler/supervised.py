"""A worker under supervision: what breaks a step reaches who waits for it, and so does what makes waiting senseless.

The questions here are those of everybody who waits: a command that wants to end, an application that wants answers.
Each says what it found; what to tell people of it is up to who asked.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Final, TypeVar

import msgspec

from ledger.errors import DatabaseUnavailable, ProviderRefused
from ledger.projections import BatchRow
from scheduler.account import account_of
from scheduler.budget import BudgetHold
from scheduler.context import Context
from scheduler.health import ProviderHealth
from scheduler.held import STANDARD_CALLS
from scheduler.worker import Worker

__all__ = ["GIVE_UP_AFTER_SECONDS", "Awaited", "Supervised", "another_account", "broken", "held_back", "refusal"]

GIVE_UP_AFTER_SECONDS: Final = 600.0
"""Who waits for an end waits so long for a provider or a database that fails."""

NOT_FOUND_SECONDS: Final = 30.0
"""How long a 404 may be a batch that is not visible yet, before it is an address that is wrong."""

_T = TypeVar("_T")


class Awaited(msgspec.Struct, frozen=True):
    """What somebody waits for: `batches` with a next step, and so many `others`, requests that are in none of them.

    `calls` of those requests wait for a standard call.
    """

    batches: Sequence[BatchRow]
    others: int = 0
    calls: int = 0


class Supervised(Worker):
    """A worker whose failures reach its supervisor instead of a log that nobody reads."""

    failure: Exception | None = None

    def plan(self) -> int:
        return self._guarded(super().plan, 0)

    def advance(self) -> bool:
        return self._guarded(super().advance, False)

    def raise_failure(self) -> None:
        """Raise what a step ended in, if it was no ordinary outcome."""
        if self.failure is not None:
            raise self.failure

    def _guarded(self, step: Callable[[], _T], nothing: _T) -> _T:
        if self.failure is not None:
            return nothing
        try:
            return step()
        except DatabaseUnavailable:
            raise  # the loop waits for it
        except Exception as failure:
            self.failure = failure
            return nothing


def refusal(health: ProviderHealth) -> ProviderRefused | None:
    """The refusal that no waiting mends, None while there is none."""
    error = health.error
    if isinstance(error, ProviderRefused) and (error.status != 404 or health.failing_for() >= NOT_FOUND_SECONDS):
        return error
    return None


def broken(worker: Worker, awaited: Awaited) -> Exception | None:
    """What the batches fail of, if none is left to wait for."""
    errors = worker.mishaps.errors
    if errors and all(batch.id in errors for batch in awaited.batches):
        return next(iter(errors.values()))
    return None


def held_back(worker: Worker, awaited: Awaited) -> BudgetHold | None:
    """Why the budget keeps all that is awaited from being sent; None if there is anything else to wait for."""
    held = worker.held.errors
    if not held or any(batch.id not in held for batch in awaited.batches):
        return None
    others = awaited.others - (awaited.calls if STANDARD_CALLS in held else 0)
    return None if others > 0 else next(iter(held.values()))


def another_account(context: Context, awaited: Awaited) -> bool:
    """Whether nothing is left to wait for but batches of another account."""
    if not awaited.batches or awaited.others > 0:
        return False
    ours = context.provider.account()
    return all(account_of(batch) not in (None, ours) for batch in awaited.batches)
