"""The ledger's own settings, from the environment."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Final, Self

import msgspec

from ledger.errors import ConfigurationError

__all__ = ["DEFAULT_DATABASE_URL", "DEFAULT_SPOOL_BYTES", "LedgerSettings", "SpoolSettings"]

DEFAULT_DATABASE_URL: Final = "sqlite:///llm-ledger.db"
DEFAULT_SPOOL_BYTES: Final = 256 * 1024 * 1024


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


class SpoolSettings(msgspec.Struct, frozen=True):
    """`LLM_LEDGER_SPOOL`: the folder of the spool files, `LLM_LEDGER_SPOOL_BYTES`: how much they may hold together.

    Without a folder they lie beside a SQLite ledger, and for Postgres in `state`, the user's own folder.
    """

    state: Path
    folder: Path | None = None
    max_bytes: int = DEFAULT_SPOOL_BYTES

    @classmethod
    def from_env(cls, environ: Mapping[str, str] = os.environ) -> Self:
        """Settings as the environment gives them. Raises `ConfigurationError` for a size that is no number."""
        home = environ.get("HOME")
        state = environ.get("XDG_STATE_HOME") or (f"{home}/.local/state" if home else tempfile.gettempdir())
        folder = environ.get("LLM_LEDGER_SPOOL")
        size = environ.get("LLM_LEDGER_SPOOL_BYTES") or str(DEFAULT_SPOOL_BYTES)
        if not size.isascii() or not size.isdecimal():
            raise ConfigurationError(f"LLM_LEDGER_SPOOL_BYTES={size} is not a number of bytes; write 268435456")
        return cls(Path(state, "llm-ledger"), Path(folder) if folder else None, int(size))
