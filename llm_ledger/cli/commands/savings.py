"""`llm-ledger savings`: what was spent, what it would have cost, what was wasted."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Annotated, Any

import typer

from llm_ledger.cli.options import Json
from llm_ledger.cli.output import Column, show, show_table, write_json, write_text
from llm_ledger.cli.words import ABSENT, counted, dollars

__all__ = ["savings", "show_groups", "show_savings"]

_COLUMNS = (
    Column("group"),
    Column("requests", right=True),
    Column("failed", right=True, from_width=110),
    Column("unpriced", right=True, from_width=120),
    Column("cost", right=True),
    Column("standard, no cache", right=True, from_width=90),
    Column("saved", right=True),
    Column("%", right=True),
    Column("cache hits", right=True, from_width=110),
)


def savings(
    since: Annotated[
        str | None, typer.Option("--since", metavar="TIME", help="From this date or instant on, e.g. 2026-11-22.")
    ] = None,
    until: Annotated[
        str | None, typer.Option("--until", metavar="TIME", help="Up to this date or instant, itself excluded.")
    ] = None,
    by: Annotated[
        str | None, typer.Option("--by", metavar="WHAT", help="Group by day, model, provider or tag:NAME.")
    ] = None,
    timezone: Annotated[
        str, typer.Option("--timezone", metavar="ZONE", help="IANA name, for dates and days.")
    ] = "UTC",
    json: Json = False,
) -> None:
    """What was spent, what the same tokens would have cost without batches and cache, and what was wasted."""
    from ledger import Ledger
    from ledger.coverage import parse_instant, zone
    from ledger.errors import InputError
    from ledger.savings import Period
    from ledger.summary import savings as reckon

    where = zone(timezone)
    begin = parse_instant(since, where) if since is not None else None
    end = parse_instant(until, where) if until is not None else None
    if begin is not None and end is not None and begin >= end:
        raise InputError(f"--since {since} is not before --until {until}")
    with Ledger.open() as ledger:
        report = reckon(ledger, Period(begin, end, timezone), by)
    if json:
        write_json(report)
        return
    show_savings(report)
    if by is not None:
        show_groups(by, report["groups"])


def show_savings(report: Mapping[str, Any]) -> None:
    """The waterfall, and the facts beside it."""
    from rich.text import Text

    from llm_ledger.cli.waterfall import picture, steps

    show(Text(), picture(steps(report)), Text(), *(Text(line) for line in _facts(report)))


def show_groups(what: str, groups: Sequence[Mapping[str, Any]]) -> None:
    """A line per group that something came to: where every request has the tag, nobody is without it."""
    columns = (Column(what.removeprefix("tag:")), *_COLUMNS[1:])
    write_text("")
    show_table(columns, (_cells(group) for group in groups if _holds_something(group)))


def _facts(report: Mapping[str, Any]) -> list[str]:
    requests, cache, waste = report["requests"], report["cache"], report["waste"]
    ended = ", ".join(f"{requests[name]:,} {name}" for name in ("succeeded", "failed", "canceled"))
    read, hit, reuse = (
        _rate(cache["token_hit_rate"]),
        _rate(cache["request_hit_rate"]),
        cache["reuse_factor"] or ABSENT,
    )
    twice, unread = dollars(waste["duplicates"]), dollars(waste["unread_writes"])
    lines = [
        f"{counted(requests['total'], 'request')}: {ended}",
        f"cache: {read} of input tokens read from it, {hit} of marked requests hit, reuse factor {reuse}",
        f"waste: {twice} for duplicates, {unread} for cache writes that nobody read",
    ]
    if requests["unpriced"]:
        lines.append(f"NOT in these figures: {counted(requests['unpriced'], 'request')} without a known price")
    if requests["cost_unknown"]:
        lines.append(f"NOT in these figures: {counted(requests['cost_unknown'], 'request')} of unknown cost")
    return lines


def _holds_something(group: Mapping[str, Any]) -> bool:
    return any(group["requests"].values()) or any(group["tokens"].values())


def _cells(group: Mapping[str, Any]) -> Sequence[str]:
    cost, saved, requests = group["cost"], group["savings"], group["requests"]
    # Where nothing has a price, $0 would be a lie.
    known = cost["actual"] != "0" or not (requests["unpriced"] or requests["cost_unknown"])
    return (
        group["name"] or ABSENT,
        f"{requests['total']:,}",
        f"{requests['failed']:,}",
        f"{requests['unpriced']:,}",
        *(dollars(money if known else None) for money in (cost["actual"], cost["standard_no_cache"], saved["total"])),
        saved["percent"] or ABSENT,
        _rate(group["cache"]["token_hit_rate"]),
    )


def _rate(rate: str | None) -> str:
    from decimal import Decimal

    return ABSENT if rate is None else f"{100 * Decimal(rate):.1f} %"
