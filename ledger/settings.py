"""The ledger's own settings, from the environment."""

from __future__ import annotations

import os
from collections.abc import Mapping
from typing import Final, Self

import msgspec

from ledger.errors import ConfigurationError

__all__ = ["DEFAULT_DATABASE_URL", "LedgerSettings"]

DEFAULT_DATABASE_URL: Final = "sqlite:///llm-ledger.db"


class LedgerSettings(msgspec.Struct, frozen=True):
    """`LLM_LEDGER_DATABASE_URL`: a SQLAlchemy URL."""

    database_url: str = DEFAULT_DATABASE_URL

    @classmethod
    def from_env(cls, environ: Mapping[str, str] = os.environ) -> Self:
        """Settings as the environment gives them; unset and empty mean the default.

        Raises `ConfigurationError` for a URL that keeps nothing: `sqlite://` is a database in memory.
        """
        url = environ.get("LLM_LEDGER_DATABASE_URL") or DEFAULT_DATABASE_URL
        if url.startswith("sqlite:") and url.partition("://")[2].strip("/") in ("", ":memory:"):
            raise ConfigurationError(f"LLM_LEDGER_DATABASE_URL={url} would keep nothing; write sqlite:///FILE")
        return cls(url)
