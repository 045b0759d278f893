"""The scheduler's own settings, from the environment."""

from __future__ import annotations

import os
from collections.abc import Mapping
from typing import Annotated, Any, Final

import msgspec

from ledger.errors import ConfigurationError
from scheduler.policy import Policy

__all__ = ["SchedulerSettings"]

Seconds = Annotated[float, msgspec.Meta(gt=0, le=86_400)]

_PREFIX: Final = "LLM_LEDGER_"


class SchedulerSettings(msgspec.Struct, frozen=True, kw_only=True):
    """What `LLM_LEDGER_…` says about scheduling; a field's name in capitals is its variable. Times in seconds."""

    poll_min_seconds: Seconds = 5.0
    poll_max_seconds: Seconds = 120.0
    http_timeout_seconds: Seconds = 600.0
    lease_seconds: Seconds = 15.0
    submit_quiet_seconds: Annotated[float, msgspec.Meta(ge=0, le=86_400)] = 300.0
    batch_max_size: Annotated[int, msgspec.Meta(ge=1, le=100_000)] = 10_000
    batch_timeout_seconds: Annotated[float, msgspec.Meta(ge=0, le=86_400)] = 30.0

    @classmethod
    def from_env(cls, environ: Mapping[str, str] = os.environ) -> SchedulerSettings:
        """Settings as the environment gives them. `ConfigurationError` names the variable that is unusable."""
        values: dict[str, str | float | int] = {}
        for field in msgspec.structs.fields(cls):
            variable = _PREFIX + field.name.upper()
            if text := environ.get(variable, "").strip():
                try:
                    values[field.name] = msgspec.convert(text, field.type, strict=False)
                except msgspec.ValidationError:
                    raise ConfigurationError(f"{variable}={text} is not {_usable(field.type)}") from None
        settings = cls(**values)  # type: ignore[arg-type]
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
        )


def _usable(kind: Any) -> str:
    """What a setting of that type takes, in words."""
    match msgspec.inspect.type_info(kind):
        case msgspec.inspect.IntType(ge=least, le=most):
            return f"a whole number from {least:,} to {most:,}"
        case msgspec.inspect.FloatType(gt=None, le=most):
            return f"a number of seconds from 0 to {most:,}"
        case msgspec.inspect.FloatType(le=most):
            return f"a number of seconds above 0, {most:,} at most"
        case other:
            raise TypeError(f"no words for {other}")
