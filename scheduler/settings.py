"""The scheduler's own settings, from the environment.

LLM_LEDGER_POLL_MIN_SECONDS, LLM_LEDGER_POLL_MAX_SECONDS   how often a batch is asked about
LLM_LEDGER_HTTP_TIMEOUT_SECONDS                            longest silence on a connection
LLM_LEDGER_LEASE_SECONDS                                   how long a worker that died keeps its batch from others
LLM_LEDGER_SUBMIT_QUIET_SECONDS                            how long a lost submission is looked for
LLM_LEDGER_BATCH_MAX_SIZE, LLM_LEDGER_BATCH_TIMEOUT_SECONDS  a batch is made of so many requests, or after so long
LLM_LEDGER_FALLBACK_TO_STANDARD                            true: a request that fails in every batch is called
LLM_LEDGER_BUDGET_USD                                      50: in total; 20/day: per UTC day; 20/day,500: both
"""

from __future__ import annotations

import os
import re
from collections.abc import Mapping
from decimal import Decimal
from typing import Annotated, Any, Final

import msgspec

from ledger.errors import ConfigurationError
from scheduler.policy import Policy

__all__ = ["Budget", "SchedulerSettings"]

Seconds = Annotated[float, msgspec.Meta(gt=0, le=86_400)]

_PREFIX: Final = "LLM_LEDGER_"

_AMOUNT: Final = re.compile(r"\$?(\d{1,12}(?:\.\d{1,12})?)(/day)?", re.ASCII)
_PICO_DIGITS: Final = 12


class Budget(msgspec.Struct, frozen=True):
    """How much may be spent, in pico-USD: for all time, and on each UTC day. None is no bound."""

    total: int | None = None
    day: int | None = None

    @classmethod
    def parse(cls, text: str) -> Budget:
        """From `50`, `20/day` or both, with a comma between them; USD. `ValueError` for anything else."""
        bounds: dict[str, int] = {}
        for term in text.split(","):
            found = _AMOUNT.fullmatch(term.strip())
            pico = int(Decimal(found[1]).scaleb(_PICO_DIGITS)) if found else 0
            name = "day" if found and found[2] else "total"
            if not pico or name in bounds:
                raise ValueError(text)
            bounds[name] = pico
        return cls(**bounds)


class SchedulerSettings(msgspec.Struct, frozen=True, kw_only=True):
    """What `LLM_LEDGER_…` says about scheduling; a field's name in capitals is its variable. Times in seconds.

    `fallback_to_standard`: a request whose attempts in batches are exhausted gets one standard call, at twice the
    price. `budget_usd` stops submissions that might cost more than is left of it.
    """

    poll_min_seconds: Seconds = 5.0
    poll_max_seconds: Seconds = 120.0
    http_timeout_seconds: Seconds = 600.0
    lease_seconds: Seconds = 15.0
    submit_quiet_seconds: Annotated[float, msgspec.Meta(ge=0, le=86_400)] = 300.0
    batch_max_size: Annotated[int, msgspec.Meta(ge=1, le=100_000)] = 10_000
    batch_timeout_seconds: Annotated[float, msgspec.Meta(ge=0, le=86_400)] = 30.0
    fallback_to_standard: bool = False
    budget_usd: Budget = Budget()

    @classmethod
    def from_env(cls, environ: Mapping[str, str] = os.environ) -> SchedulerSettings:
        """Settings as the environment gives them. `ConfigurationError` names the variable that is unusable."""
        values: dict[str, Any] = {}
        for field in msgspec.structs.fields(cls):
            variable = _PREFIX + field.name.upper()
            if text := environ.get(variable, "").strip():
                try:
                    values[field.name] = _read(text, field.type)
                except ValueError:  # msgspec's, too
                    raise ConfigurationError(f"{variable}={text} is not {_usable(field.type)}") from None
        settings = cls(**values)
        least, most = settings.poll_min_seconds, settings.poll_max_seconds
        if most < least:
            # One of them was set across the other's default, and what was set counts; of two, the caution.
            agreed = least if "poll_min_seconds" in values else most
            settings = msgspec.structs.replace(settings, poll_min_seconds=agreed, poll_max_seconds=agreed)
        return settings

    def policy(self) -> Policy:
        """The policy that these settings amount to."""
        return Policy(
            max_requests=self.batch_max_size,
            max_age_seconds=self.batch_timeout_seconds,
            poll_min_seconds=self.poll_min_seconds,
            poll_max_seconds=self.poll_max_seconds,
            retry_min_seconds=min(self.poll_min_seconds, Policy().retry_min_seconds),
            lease_seconds=self.lease_seconds,
            submit_quiet_seconds=self.submit_quiet_seconds,
            fallback_to_standard=self.fallback_to_standard,
            call_deadline_seconds=self.http_timeout_seconds + self.lease_seconds,
            budget_total=self.budget_usd.total,
            budget_day=self.budget_usd.day,
        )


def _read(text: str, kind: Any) -> Any:
    return Budget.parse(text) if kind is Budget else msgspec.convert(text, kind, strict=False)


def _usable(kind: Any) -> str:
    """What a setting of that type takes, in words."""
    match msgspec.inspect.type_info(kind):
        case msgspec.inspect.IntType(ge=least, le=most):
            return f"a whole number from {least:,} to {most:,}"
        case msgspec.inspect.FloatType(gt=None, le=most):
            return f"a number of seconds from 0 to {most:,}"
        case msgspec.inspect.FloatType(le=most):
            return f"a number of seconds above 0, {most:,} at most"
        case msgspec.inspect.BoolType():
            return "true or false"
        case msgspec.inspect.StructType(cls=cls) if cls is Budget:
            return "an amount of USD above 0; write 50 in total, 20/day per UTC day, or 20/day,500 for both"
        case other:
            raise TypeError(f"no words for {other}")
