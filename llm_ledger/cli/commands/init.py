"""`llm-ledger init`: the schema, created or upgraded."""

from __future__ import annotations

from llm_ledger.cli.options import Json
from llm_ledger.cli.output import write_json, write_text

__all__ = ["init"]


def init(json: Json = False) -> None:
    """Create the ledger's schema, or upgrade it to this release's. Safe to repeat."""
    from ledger import Ledger
    from ledger.backends import open_database
    from ledger.migrate import upgrade
    from ledger.settings import LedgerSettings

    url = LedgerSettings.from_env().database_url
    database = open_database(url)
    try:
        before, after = upgrade(database)
    finally:
        database.close()
    with Ledger.open(url, create=False) as ledger:
        events = ledger.head().position
    where = database.url
    if json:
        write_json({"database": where, "before": before, "after": after, "events": events})
    else:
        write_text(f"{where}: {_done(before, after)}")


def _done(before: str | None, after: str) -> str:
    if before is None:
        return f"created, schema {after}"
    return f"schema {after} is up to date" if before == after else f"upgraded {before} → {after}"
