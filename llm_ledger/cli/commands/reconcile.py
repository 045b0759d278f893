"""`llm-ledger reconcile`: the provider's batches against the ledger, and what was done about each difference."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator, Sequence
from contextlib import closing, contextmanager
from typing import TYPE_CHECKING, Annotated, Final

import typer

from llm_ledger.cli.options import Json
from llm_ledger.cli.output import Column, show_table, write_json, write_text
from llm_ledger.cli.words import ABSENT, counted

if TYPE_CHECKING:
    from scheduler import Context
    from scheduler.audit import Finding
    from scheduler.leases import Leases
    from scheduler.uncertain import Sought

__all__ = ["reconcile"]

_COLUMNS: Final = (
    Column("finding"),
    Column("provider's id"),
    Column("batch", from_width=140),
    Column("items", right=True),
    Column("what was done"),
)

_RISK: Final = (
    "releasing {batch} sends its {items} again. If the provider has it after all, all of it is paid twice "
    "(it would be found later, and recorded as a twin with its cost). Last look: {why}"
)


def reconcile(
    release: Annotated[
        str | None,
        typer.Option(
            "--release",
            metavar="ID",
            help="Give up an uncertain batch for lost, so that it is sent again. Asks first.",
        ),
    ] = None,
    same_account: Annotated[
        str | None,
        typer.Option(
            "--same-account",
            metavar="ID",
            help="The present key has replaced the one of this batch, which proves it by being visible: go on with "
            "every open batch of that key.",
        ),
    ] = None,
    yes: Annotated[bool, typer.Option("--yes", help="Release without asking.")] = False,
    json: Json = False,
) -> None:
    """Compare the provider's batches with the ledger, both ways; look for those whose submission got no answer."""
    from ledger.errors import InputError

    if release is not None and same_account is not None:
        raise InputError("--release and --same-account are two things; do one after the other")
    if release is not None and not (yes or _somebody_to_ask()):
        raise InputError("--release may pay a batch twice and there is nobody to ask; confirm with --yes")
    with _scheduling() as (context, leases):
        if release is not None:
            _release(context, leases, release, yes=yes, json=json)
        elif same_account is not None:
            _take_over(context, same_account, json=json)
        else:
            _compare(context, leases, json=json)


def _somebody_to_ask() -> bool:
    return sys.stdin is not None and sys.stdin.isatty()


def _confirmed(question: str) -> bool:
    """Whether somebody says yes. Asked on stderr, since stdout is for data."""
    sys.stderr.write(f"{question} [y/N] ")
    sys.stderr.flush()
    return sys.stdin.readline().strip().lower() in {"y", "yes"}


@contextmanager
def _scheduling() -> Iterator[tuple[Context, Leases]]:
    """What a worker of this process would work with."""
    from ledger import Ledger
    from scheduler import Context, SchedulerSettings, Worker, providers

    settings = SchedulerSettings.from_env()
    provider_settings = providers.settings("anthropic", os.environ, timeout_seconds=settings.http_timeout_seconds)
    with closing(providers.provider("anthropic", provider_settings)) as provider, Ledger.open() as ledger:
        policy = settings.policy()
        context = Context(ledger=ledger, provider=provider, policy=lambda: policy)
        leases = Worker(context).leases
        leases.start()
        try:
            yield context, leases
        finally:
            leases.stop()


def _compare(context: Context, leases: Leases, *, json: bool) -> None:
    from llm_ledger.cli.documents import finding_document, sought_document
    from scheduler.audit import audit
    from scheduler.uncertain import seek

    sought = seek(context, leases)
    report = audit(context)
    if json:
        for document in (*map(sought_document, sought), *map(finding_document, report.entries)):
            write_json(document)
        return
    rows = [*map(_sought_cells, sought), *map(_finding_cells, report.findings)]
    if rows:
        show_table(_COLUMNS, rows)
    verb = "matches" if report.matched == 1 else "match"
    write_text(f"{counted(report.matched, 'batch')} {verb} the provider's")
    if others := _of_other_accounts(context):
        write_text(f"not compared: {counted(others, 'open batch')} of another account; set its key to compare them")


def _of_other_accounts(context: Context) -> int:
    from ledger.queries import active_batches
    from scheduler.account import account_of

    ours = context.provider.account()
    return sum(account_of(batch) not in (None, ours) for batch in active_batches(context.ledger))


def _release(context: Context, leases: Leases, batch_id: str, *, yes: bool, json: bool) -> None:
    from llm_ledger.cli.documents import sought_document
    from scheduler.uncertain import release

    def confirmed(sought: Sought) -> bool:
        risk = _RISK.format(batch=sought.batch_id, items=counted(sought.items, "request"), why=sought.why)
        sys.stderr.write(f"{risk}\n")
        return yes or _confirmed("Release it?")

    sought = release(context, leases, batch_id, confirmed)
    if json:
        write_json(sought_document(sought))
    else:
        write_text(f"batch {sought.batch_id} is {sought.outcome}: {sought.why}")


def _take_over(context: Context, batch_id: str, *, json: bool) -> None:
    from ledger import queries
    from scheduler.account import take_over

    batch = queries.batch(context.ledger, batch_id)
    count = take_over(context, batch)
    if json:
        write_json({"proven_by": batch.id, "batches": count})
    else:
        verb = "goes" if count == 1 else "go"
        write_text(f"{counted(count, 'open batch')} of that account {verb} on with the present key")


def _sought_cells(sought: Sought) -> Sequence[str]:
    return (
        sought.outcome,
        sought.provider_batch_id or ABSENT,
        sought.batch_id,
        f"{sought.items:,}",
        sought.why,
    )


def _finding_cells(finding: Finding) -> Sequence[str]:
    items = finding.items if finding.items is not None else finding.expected
    return (
        finding.verdict,
        finding.provider_batch_id,
        finding.batch_id or ABSENT,
        ABSENT if items is None else f"{items:,}",
        finding.done,
    )
