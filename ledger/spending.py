"""What has been spent so far, for whoever keeps a budget: read from the coarsest counts, however long the log is."""

from __future__ import annotations

from datetime import datetime
from typing import Final

from sqlalchemy import Connection, bindparam, select

from ledger import schema
from ledger.clock import from_micros
from ledger.pricing import PriceBook, PriceKey, Tokens, price
from ledger.projections import DAY, TOTAL, UNPRICED, stored_book

__all__ = ["spent"]

_USAGE: Final = schema.usage_rollups.c
_PRICE: Final = schema.price_keys.c
_ROWS: Final = (
    select(
        _PRICE.provider,
        _PRICE.model,
        _PRICE.processing,
        _PRICE.geo,
        _PRICE.tier,
        _PRICE.speed,
        _PRICE.prompt_over,
        _USAGE.epoch,
        _USAGE.uncached,
        _USAGE.write_5m,
        _USAGE.write_1h,
        _USAGE.read,
        _USAGE.output,
        _USAGE.web_searches,
    )
    .join_from(schema.usage_rollups, schema.price_keys, _USAGE.price_key == _PRICE.id)
    .where(
        _USAGE.tag == "",
        _USAGE.grain == bindparam("grain"),
        _USAGE.bucket >= bindparam("start"),
        _USAGE.epoch != UNPRICED,
    )
)
_KEY_FIELDS: Final = 7


def spent(connection: Connection, since: datetime | None = None) -> int:
    """Pico-USD that were billed at that UTC midnight or later, None for ever; duplicates included.

    What has no price, or a cost that nobody knows, counts as nothing.
    """
    place = {"grain": TOTAL, "start": 0} if since is None else {"grain": DAY, "start": int(since.timestamp())}
    books: dict[str, PriceBook] = {}
    total = 0
    for row in connection.execute(_ROWS, place).all():
        key = PriceKey(*row[:_KEY_FIELDS])
        if key.provider not in books:
            books[key.provider] = stored_book(connection, key.provider) or PriceBook(())
        rates = books[key.provider].rates(key, from_micros(row.epoch))
        total += price(Tokens(*row[_KEY_FIELDS + 1 :]), rates, rates, role="duplicate").actual
    return total
