"""The document of `show`, laid out for people."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from datetime import datetime
from decimal import Decimal
from typing import Any, Final

import msgspec
from rich import box
from rich.console import RenderableType
from rich.table import Table
from rich.text import Text

from ledger.projections import TERMINAL
from llm_ledger.cli.event_words import gist
from llm_ledger.cli.words import ABSENT, age, counted, dollars, percent, plain

__all__ = ["portrait"]

_PER_MILLION: Final = 1_000_000


def portrait(document: Mapping[str, Any]) -> Iterator[RenderableType]:
    """Facts, then the bill, then what happened."""
    request = document["kind"] == "request"
    facts = _request_facts(document) if request else _batch_facts(document)
    yield _grid(facts)
    if request:
        yield from _bill(document)
    yield Text("\nwhat happened", style="bold")
    yield _history(document["events"])


def _request_facts(document: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    yield "request", f"{document['custom_id']} (key {document['key']})"
    yield "status", _status(document)
    yield "id", document["id"]
    answered = document["response_model"]
    asked = document["model"]
    yield "model", asked if answered in (None, asked) else f"{asked}, answered by {answered}"
    yield "provider", _way(document)
    if document["batch_id"]:
        yield "batch", f"{document['batch_id']}, item {document['batch_index']}, attempt {document['attempts']}"
    tags = msgspec.json.decode(document["tags"] or b"{}")
    if tags:
        yield "tags", ", ".join(f"{name}={value}" for name, value in tags.items())
    yield "recorded", _instant(document["recorded_at"])
    if document["finished_at"]:
        took = (document["finished_at"] - document["recorded_at"]).total_seconds()
        later = f", {age(took)} later" if took >= 0 else ""  # calls are recorded once they are over
        yield "finished", f"{_instant(document['finished_at'])}{later}"
    purged = [name for name in ("params", "result") if document[f"{name}_purged"]]
    if purged:
        yield "purged", f"its {' and '.join(purged)}; what they cost stays on record"


def _batch_facts(document: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    yield "batch", document["id"]
    yield "status", f"{document['status']}: {document['note']}" if document["note"] else document["status"]
    yield "provider", f"{document['provider']}, {document['provider_batch_id'] or 'not there yet'}"
    if document["twin_of"]:
        yield "twin", f"the provider carried out batch {document['twin_of']} a second time, as this one"
    yield "items", f"{document['request_count']:,}, {document['settled']:,} settled"
    outcomes = ", ".join(f"{count:,} {status}" for status, count in sorted(document["requests"].items()))
    yield "its requests", outcomes or ABSENT
    yield "their cost", dollars(document["requests_cost"], None)
    yield "sent", f"{counted(document['submissions'], 'time')}, asked about {counted(document['polls'], 'time')}"
    yield "planned", _instant(document["planned_at"])
    for name, field in (("created", "created_at"), ("ended", "ended_at"), ("next step", "next_step_at")):
        if document[field]:
            yield name, _instant(document[field])


def _bill(document: Mapping[str, Any]) -> Iterator[RenderableType]:
    yield Text("\nwhat it cost", style="bold")
    if not document["billed"]:
        yield Text(_unbilled(document))
        return
    table = Table(box=box.SIMPLE, pad_edge=False, show_header=False)
    for justify in ("left", "right", "right", "right"):
        table.add_column(justify=justify)
    for item in document["billed"]:
        _add_item(table, item, tell_model=len(document["billed"]) > 1)
    table.add_section()
    cost = document["cost"]
    table.add_row(Text("cost", style="bold"), "", "", Text(dollars(cost, None), style="bold"))
    table.add_row("the same without cache", "", "", dollars(document["no_cache"], None))
    whole = document["standard_no_cache"]
    table.add_row("the same without cache at standard prices", "", "", dollars(whole, None))
    saved = document["savings"]
    if saved:
        table.add_section()
        for name in ("batch", "cache", "total"):
            label = "saved" if name == "total" else f"saved by {name}"
            table.add_row(label, "", percent(saved[name], whole), dollars(saved[name], None))
    yield table


def _add_item(table: Table, item: Mapping[str, Any], *, tell_model: bool) -> None:
    if tell_model or item["role"] != "result":
        table.add_row(Text(f"{item['model']} ({item['role']})", style="italic"), "", "", "")
    if item["cost"] is None:
        table.add_row(Text(f"no price is known for {item['model']}"), "", "", ABSENT)
    for line in item["lines"]:
        table.add_row(
            line["name"],
            f"{line['quantity']:,} {line['unit']}",
            _rate(line),
            dollars(line["amount"], None),
        )


def _unbilled(document: Mapping[str, Any]) -> str:
    unknown = [event["data"] for event in document["events"] if event["type"] == "request.cost_unknown"]
    if unknown:
        return f"nobody knows: {gist('request.cost_unknown', unknown[-1]).removeprefix('reason ')}"
    return "nothing was billed for it" if document["status"] in TERMINAL else "nothing was billed for it so far"


def _way(document: Mapping[str, Any]) -> str:
    return (
        f"{document['provider']}, a call of an application"
        if document["mode"] == "standard"
        else document["provider"]
    )


def _rate(line: Mapping[str, Any]) -> str:
    if line["rate"] is None:
        return ""
    if line["unit"] != "tokens":
        return f"× {dollars(line['rate'], None)} each"
    rate = (Decimal(line["rate"]) * _PER_MILLION).normalize()
    return f"× ${max(rate, rate.quantize(Decimal('0.01')), key=_digits):,f} per million"


def _digits(amount: Decimal) -> int:
    return -int(amount.as_tuple().exponent)


def _history(events: list[dict[str, Any]]) -> RenderableType:
    table = Table.grid(padding=(0, 2))
    table.add_column(justify="right")
    began: datetime | None = None
    for event in events:
        at = event["occurred_at"]
        began = began or at
        since = f"+{(at - began).total_seconds():.3f} s"
        table.add_row(since, Text(event["type"], style="cyan"), Text(gist(event["type"], event["data"])))
    return table


def _status(document: Mapping[str, Any]) -> str:
    problem = ": ".join(part for part in (document["error_type"], document["error_message"]) if part)
    return f"{document['status']} ({problem})" if problem else document["status"]


def _instant(at: datetime) -> str:
    return f"{at:%Y-%m-%d %H:%M:%S}.{at.microsecond // 1000:03d}"


def _grid(facts: Iterator[tuple[str, str]]) -> Table:
    table = Table.grid(padding=(0, 2))
    table.add_column(style="bold")
    table.add_column()
    for name, value in facts:
        table.add_row(name, Text(plain(value)))
    return table
