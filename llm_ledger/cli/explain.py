"""One request or one batch, explained: what happened, what was billed, line by line, against the baseline."""

from __future__ import annotations

from typing import Any, Final

from ledger import Ledger
from ledger.costs import cost_of, item_figures, with_costs
from ledger.events import batch_stream, request_stream
from ledger.pricing import Figures, Rates, price_lines, usd_text
from ledger.projections import BatchRow, RequestRow
from ledger.queries import BilledItem, billed_items, requests, stored_events
from ledger.results import result_purged, stored_body
from llm_ledger.cli.documents import batch_document, event_document, request_document
from llm_ledger.cli.named import named

__all__ = ["explain"]

_NO_RATES: Final = Rates(input=0, output=0, write_5m=0, write_1h=0, read=0, web_search=0)


def explain(ledger: Ledger, wanted: str, *, key: str | None = None) -> dict[str, Any]:
    """The document of `show --json`; its `kind` is request or batch. Raises `UnknownId`.

    `wanted`: an id or a unique beginning of one, a custom_id, the provider's id of a batch, or a stream's name.
    """
    row = named(ledger, wanted, key=key)
    return _request(ledger, row) if isinstance(row, RequestRow) else _batch(ledger, row)


def _request(ledger: Ledger, row: RequestRow) -> dict[str, Any]:
    items = billed_items(ledger, [row.id]).get(row.id, [])
    cost = cost_of(items)
    params, result = stored_body(ledger, row.payload), stored_body(ledger, row.result)
    return {
        "kind": "request",
        **request_document(row, cost),
        "savings": _savings(cost.figures) if cost.known else None,
        "billed": [_billed(item) for item in items],
        "events": _events(ledger, request_stream(row.id)),
        "params": params,
        "result": result,
        "params_purged": params is None and bool(row.payload),
        "result_purged": result_purged(row, result),
    }


def _batch(ledger: Ledger, row: BatchRow) -> dict[str, Any]:
    total, outcomes = Figures(), dict[str, int]()
    for request, cost in with_costs(ledger, requests(ledger, batch_id=row.id)):
        outcomes[request.status] = outcomes.get(request.status, 0) + 1
        total += cost.figures
    return {
        "kind": "batch",
        **batch_document(row),
        "requests": outcomes,
        "requests_cost": usd_text(total.actual),
        "events": _events(ledger, batch_stream(row.id)),
    }


def _events(ledger: Ledger, stream: str) -> list[dict[str, Any]]:
    return [event_document(event) for event in stored_events(ledger, stream=stream)]


def _billed(item: BilledItem) -> dict[str, Any]:
    """One billed item. `rate` is USD per token (or search), `amount` = `quantity` × `rate`; null without a price."""
    figures = item_figures(item)
    lines = price_lines(item.tokens, item.book.rates(item.key, item.epoch) if figures and item.book else _NO_RATES)
    return {
        "role": item.role,
        "provider": item.key.provider,
        "model": item.key.model,
        "processing": item.key.processing,
        "billed_at": item.billed_at,
        "prices_from": item.epoch,
        "lines": [
            {
                "name": line.name,
                "quantity": line.quantity,
                "unit": line.unit,
                "rate": usd_text(line.rate) if figures else None,
                "amount": usd_text(line.amount) if figures else None,
            }
            for line in lines
        ],
        "cost": usd_text(figures.actual) if figures else None,
        "no_cache": usd_text(figures.no_cache) if figures else None,
        "standard_no_cache": usd_text(figures.standard_no_cache) if figures else None,
    }


def _savings(figures: Figures) -> dict[str, str]:
    return {
        "batch": usd_text(figures.batch_saving),
        "cache": usd_text(figures.cache_saving),
        "total": usd_text(figures.total_saving),
    }
