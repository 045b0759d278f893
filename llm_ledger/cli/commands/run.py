"""`llm-ledger run`: the scheduler loop, until stopped or until nothing is left to do."""

from __future__ import annotations

import os
from contextlib import closing
from typing import Annotated

import typer

from llm_ledger.cli.guard import ExitCode, say
from llm_ledger.cli.options import GiveUpAfter, Json
from llm_ledger.cli.output import write_json

__all__ = ["run"]


def run(
    until_idle: Annotated[
        bool, typer.Option("--until-idle", help="Leave when nothing is left to do, for other processes too.")
    ] = False,
    give_up_after: GiveUpAfter = None,
    json: Json = False,
) -> ExitCode:
    """Batch, submit, poll, collect and retry, until stopped.

    Ctrl-C and SIGTERM end it after the steps under way, a second one at once; either way nothing is lost.
    """
    from ledger import Ledger
    from llm_ledger.cli.account_of_run import RunAccount
    from llm_ledger.cli.running import Leave, insisting, stop_on_signals, work
    from scheduler import Context, SchedulerSettings, providers
    from scheduler.supervised import GIVE_UP_AFTER_SECONDS

    settings = SchedulerSettings.from_env()
    provider_settings = providers.settings("anthropic", os.environ, timeout_seconds=settings.http_timeout_seconds)
    if give_up_after is None and until_idle:
        give_up_after = GIVE_UP_AFTER_SECONDS
    with closing(providers.provider("anthropic", provider_settings)) as provider:
        provider.account()  # a missing key is told now, not after the first requests were batched
        with Ledger.open() as ledger, stop_on_signals() as stop:
            account = RunAccount(ledger)
            policy = settings.policy()
            context = Context(ledger=ledger, provider=provider, policy=lambda: policy)
            leave = Leave(until_idle=until_idle, give_up_after=give_up_after)
            work(context, stop, leave)
            document = insisting(account.close, ledger, stop, leave)
    if not stop.is_set():
        say(account.sentence(document))
    if json:
        write_json(document)
    return _code(stop.signal_number, until_idle=until_idle, abandoned=account.abandoned(document))


def _code(signal_number: int | None, *, until_idle: bool, abandoned: bool) -> ExitCode:
    """SIGTERM is how a service ends; for `--until-idle` it means that work is left."""
    import signal

    if signal_number == signal.SIGINT:
        return ExitCode.INTERRUPTED
    if signal_number is not None and until_idle:
        return ExitCode.TERMINATED
    return ExitCode.ABANDONED if abandoned and signal_number is None else ExitCode.DONE
