"""What requests cost, and would have cost: their billed items, priced and added up."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from itertools import islice
from typing import Any, Final

import msgspec

from ledger.ledger import Ledger
from ledger.pricing import Figures, Tokens, price, usd_text
from ledger.projections import RequestRow
from ledger.queries import BilledItem, billed_items

__all__ = ["PAGE", "Cost", "cost_of", "item_figures", "paged", "with_costs"]

PAGE: Final = 500


class Cost(msgspec.Struct, frozen=True):
    """The sum over a request's billed items, duplicates included. `unpriced` of its `items` bring no money."""

    figures: Figures = Figures()
    tokens: Tokens = Tokens()
    items: int = 0
    unpriced: int = 0

    @property
    def known(self) -> bool:
        """True if at least a part of it is billed and priced."""
        return self.items > self.unpriced

    @property
    def complete(self) -> bool:
        """True if all of it is."""
        return self.items > 0 and not self.unpriced

    def money(self) -> dict[str, str | None]:
        """`cost` and the two baselines as decimal strings of USD, null where nothing of it has a price."""
        figures = self.figures
        return {
            "cost": usd_text(figures.actual) if self.known else None,
            "no_cache": usd_text(figures.no_cache) if self.known else None,
            "standard_no_cache": usd_text(figures.standard_no_cache) if self.known else None,
        }

    def counts(self) -> dict[str, int]:
        """Tokens under the names of `savings --json`."""
        tokens = self.tokens
        return {
            "uncached_input": tokens.uncached,
            "cache_write_5m": tokens.write_5m,
            "cache_write_1h": tokens.write_1h,
            "cache_read": tokens.read,
            "output": tokens.output,
        }


def item_figures(item: BilledItem) -> Figures | None:
    """The figures of one billed item; None if it has no price."""
    if item.epoch is None or item.book is None:
        return None
    rates = item.book.rates(item.key, item.epoch)
    return price(item.tokens, rates, item.book.standard_rates(item.key, item.epoch), role=_role(item))


def cost_of(items: Sequence[BilledItem]) -> Cost:
    """The cost of what was billed for one request."""
    priced = [figures for item in items if (figures := item_figures(item)) is not None]
    return Cost(
        sum(priced, start=Figures()),
        sum((item.tokens for item in items), start=Tokens()),
        len(items),
        len(items) - len(priced),
    )


def with_costs(ledger: Ledger, rows: Iterable[RequestRow]) -> Iterator[tuple[RequestRow, Cost]]:
    """Each request with its cost, in bounded memory."""
    for page in paged(rows):
        billed = billed_items(ledger, [row.id for row in page])
        for row in page:
            yield row, cost_of(billed.get(row.id, ()))


def paged(rows: Iterable[RequestRow], size: int = PAGE) -> Iterator[list[RequestRow]]:
    """The same rows by pages."""
    source = iter(rows)
    while page := list(islice(source, size)):
        yield page


def _role(item: BilledItem) -> Any:
    return item.role
