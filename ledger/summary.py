"""The savings of a period, as a whole and by day, model, provider or tag: read from the rollups alone."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from datetime import datetime, tzinfo
from functools import lru_cache
from typing import Any

from sqlalchemy import Connection, Select, Table, and_, bindparam, false, or_, select

from ledger import schema
from ledger.clock import from_micros
from ledger.coverage import Span, cover, cover_days, zone
from ledger.errors import InputError
from ledger.ledger import Ledger
from ledger.pricing import PriceBook, PriceKey, Tokens
from ledger.projections import UNPRICED, stored_book
from ledger.savings import OutcomeSums, Period, Tally, UsageSums, savings_report

__all__ = ["savings"]

WITHOUT_TAG = "(none)"

Cell = Callable[[Tally, int], None]
"""One rollup row: call it with a tally and +1 or -1 to count it in or out."""


def savings(ledger: Ledger, period: Period, by: str | None = None) -> dict[str, Any]:
    """The report of `llm-ledger savings --json`. `by`: day, model, provider, tag:NAME or None.

    Every grouping sums to the total by itself. Raises `InputError` for an unknown grouping or time zone.
    """
    where = zone(period.timezone)
    spans = cover(period.since, period.until)
    with ledger.read() as connection:
        reader = _Rollups(connection)
        total = Tally()
        for _, count in reader.cells("", spans):
            count(total, 1)
        groups = _groups(reader, spans, period, by, where)
    return savings_report(period, total, groups)


def _groups(
    reader: _Rollups, spans: Sequence[Span], period: Period, by: str | None, where: tzinfo
) -> list[tuple[str, Tally]]:
    if by is None:
        return []
    if by in ("model", "provider"):
        return _collect(reader.cells("", spans), lambda cell: str(cell[by]))
    if by == "day":
        days = cover_days(period.since, period.until, where)
        return _collect(reader.cells("", days), lambda cell: _local_day(cell["bucket"], where))
    kind, _, tag = by.partition(":")
    if kind == "tag" and tag:
        return _by_tag(reader, spans, tag)
    raise InputError(f"cannot group by {by!r}; use day, model, provider or tag:NAME")


def _by_tag(reader: _Rollups, spans: Sequence[Span], tag: str) -> list[tuple[str, Tally]]:
    """One group per value, and what carries no such tag: all counts less those that do."""
    groups = _collect(reader.cells(tag, spans), lambda cell: str(cell["value"]))
    without = Tally()
    for _, count in reader.cells("", spans):
        count(without, 1)
    for _, count in reader.cells(tag, spans):
        count(without, -1)
    return [*groups, (WITHOUT_TAG, without)]


def _collect(
    cells: Iterator[tuple[dict[str, Any], Cell]], name: Callable[[dict[str, Any]], str]
) -> list[tuple[str, Tally]]:
    tallies: dict[str, Tally] = {}
    for cell, count in cells:
        count(tallies.setdefault(name(cell), Tally()), 1)
    return sorted(tallies.items())


def _local_day(bucket: int, where: tzinfo) -> str:
    return from_micros(bucket * 1_000_000).astimezone(where).date().isoformat()


class _Rollups:
    """Rollup rows within one consistent view, each as (what it is grouped by, how to count it)."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection
        self._books: dict[str, PriceBook | None] = {}

    def cells(self, tag: str, spans: Sequence[Span]) -> Iterator[tuple[dict[str, Any], Cell]]:
        yield from self._usage(tag, spans)
        yield from self._outcomes(tag, spans)

    def _usage(self, tag: str, spans: Sequence[Span]) -> Iterator[tuple[dict[str, Any], Cell]]:
        for row in self._connection.execute(_usage_rows(tuple(spans)), {"of": tag}):
            _tag, _grain, bucket, value, _price, start, role, requests, partial, marked, hits, *rest = row[:19]
            *tokens, unread_5m, unread_1h = rest
            key = PriceKey(*row[20:])
            epoch = from_micros(start) if start != UNPRICED else None
            # Of `partial` responses another model served a part; where that part has no price, they count here.
            counted = requests + partial if epoch is None else requests
            sums = (tokens, counted, marked, hits, unread_5m, unread_1h)
            cell = {"bucket": bucket, "value": value, "model": key.model, "provider": key.provider}
            yield cell, self._usage_cell(key, epoch, role, sums)

    def _usage_cell(self, key: PriceKey, epoch: datetime | None, role: Any, sums: tuple[Any, ...]) -> Cell:
        tokens, requests, marked, hits, unread_5m, unread_1h = sums
        book = self._book(key.provider)

        def count(tally: Tally, sign: int) -> None:
            signed = Tokens(*(sign * column for column in tokens))
            measures = UsageSums(signed, sign * requests, sign * marked, sign * hits)
            tally.add_usage(key, epoch, role, measures, book)
            if unread_5m or unread_1h:
                tally.add_unread_writes(sign * unread_5m, sign * unread_1h, key, epoch, book)

        return count

    def _outcomes(self, tag: str, spans: Sequence[Span]) -> Iterator[tuple[dict[str, Any], Cell]]:
        rows = self._connection.execute(_outcome_rows(tuple(spans)), {"of": tag})
        for _tag, _grain, bucket, value, provider, model, *counts in rows:
            cell = {"bucket": bucket, "value": value, "model": model, "provider": provider}
            yield cell, _outcome_cell(counts)

    def _book(self, provider: str) -> PriceBook:
        if provider not in self._books:
            self._books[provider] = stored_book(self._connection, provider)
        return self._books[provider] or PriceBook(())


def _outcome_cell(counts: Sequence[int]) -> Cell:
    def count(tally: Tally, sign: int) -> None:
        tally.add_outcomes(OutcomeSums(*(sign * column for column in counts)))

    return count


@lru_cache(maxsize=64)
def _usage_rows(spans: tuple[Span, ...]) -> Select[*tuple[Any, ...]]:
    """Usage rows of the tag `:of`, each with its price key. Kept: making a statement takes longer than running it."""
    rollup, price = schema.usage_rollups, schema.price_keys
    joined = select(rollup, *price.c).join_from(rollup, price, rollup.c.price_key == price.c.id)
    return joined.where(rollup.c.tag == bindparam("of"), _within(rollup, spans))


@lru_cache(maxsize=64)
def _outcome_rows(spans: tuple[Span, ...]) -> Select[*tuple[Any, ...]]:
    """Outcome rows of the tag `:of`."""
    rollup = schema.outcome_rollups
    return select(rollup).where(rollup.c.tag == bindparam("of"), _within(rollup, spans))


def _within(table: Table, spans: Sequence[Span]) -> Any:
    column = table.c
    return or_(
        false(),
        *(and_(column.grain == span.grain, column.bucket >= span.start, column.bucket < span.end) for span in spans),
    )
