"""`llm-ledger purge`: old bodies go, the log stays."""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING, Annotated, Any

import typer

from llm_ledger.cli.audited import audited
from llm_ledger.cli.options import Json, Key
from llm_ledger.cli.output import write_json, write_text
from llm_ledger.cli.progress import bar
from llm_ledger.cli.words import counted, parse_duration

if TYPE_CHECKING:
    from ledger.purge import Purged

__all__ = ["purge"]


def _age(text: Any) -> timedelta:
    """An age for typer. Unlike a waiting time it needs its unit: what is purged by mistake is gone."""
    no_age = typer.BadParameter(f"{str(text)!r} is no age; write 30d, 12h or 90m")
    if str(text)[-1:].isdigit():
        raise no_age
    try:
        return timedelta(seconds=parse_duration(str(text)))
    except (ValueError, OverflowError):
        raise no_age from None


def purge(
    older_than: Annotated[
        timedelta,
        typer.Option(
            "--older-than", parser=_age, metavar="AGE", help="Of requests that ended longer ago than this (30d, 12h)."
        ),
    ],
    key: Key = None,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Only tell what would be deleted.")] = False,
    json: Json = False,
) -> None:
    """Delete the stored params and results of old requests. Hashes, usage and costs stay, and so does the proof."""
    from ledger.clock import SystemClock
    from ledger.errors import InputError
    from ledger.purge import purge as delete

    now = SystemClock().now()
    try:
        before = now - older_than
    except OverflowError:
        raise InputError("--older-than reaches back before the year 1; nothing is that old") from None
    with audited() as database, bar("looking" if dry_run else "purging") as progress:
        purged = delete(database, before, key=key, dry_run=dry_run, progress=progress.stand)
    if json:
        figures = {"requests": purged.requests, "bodies": purged.bodies, "bytes": purged.bytes}
        write_json({"before": before, "key": key, "dry_run": dry_run, **figures})
    else:
        write_text(_sentence(purged, dry_run=dry_run))


def _sentence(purged: Purged, *, dry_run: bool) -> str:
    if not purged.requests:
        return "nothing to purge: no request that ended so long ago has a body that nobody else needs"
    bodies = "1 body" if purged.bodies == 1 else f"{purged.bodies:,} bodies"
    what = f"{bodies} of {counted(purged.requests, 'request')}, {counted(purged.bytes, 'byte')}"
    return f"would purge {what}" if dry_run else f"purged {what}"
