"""The ledger's own settings, from the environment."""

from __future__ import annotations

import os
from collections.abc import Mapping
from typing import Final, Self

import msgspec

__all__ = ["DEFAULT_DATABASE_URL", "LedgerSettings"]

DEFAULT_DATABASE_URL: Final = "sqlite:///llm-ledger.db"


class LedgerSettings(msgspec.Struct, frozen=True):
    """`LLM_LEDGER_DATABASE_URL`: a SQLAlchemy URL."""

    database_url: str = DEFAULT_DATABASE_URL

    @classmethod
    def from_env(cls, environ: Mapping[str, str] = os.environ) -> Self:
        """Settings as the environment gives them; unset and empty mean the default."""
        return cls(environ.get("LLM_LEDGER_DATABASE_URL") or DEFAULT_DATABASE_URL)
