"""What requests may cost at most, by estimate, before anybody has answered them: in whole pico-USD, never too little.

Their estimated input at the dearest rate that it may be billed at (a request with cache markers may be written to the
cache for an hour; any may be served in the dearest region), and all of `max_tokens` as output. Web searches, and what
other models do within a request, nobody can foresee.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from contextlib import closing
from datetime import datetime
from typing import Any, Final, NamedTuple

from sqlalchemy import ColumnElement, Connection, Select, bindparam, case, func, literal_column, select

from ledger import schema
from ledger.pricing import PROMPT_LADDER, PriceBook, PriceKey, Processing
from ledger.projections import stored_book

__all__ = ["Estimate", "batch_estimate", "calls_estimate", "fitting", "request_estimate"]

_REGIONS: Final = ("", "us")

_REQUEST: Final = schema.requests.c
_STATE: Final = schema.request_states.c


class Estimate(NamedTuple):
    """What it may cost in pico-USD, and which models have no price, so that nobody can tell."""

    pico: int
    unpriced: tuple[str, ...] = ()


class _Kind(NamedTuple):
    """Everything that the rates of a request depend on. `step` is the prompt's place on `PROMPT_LADDER`."""

    provider: str
    model: str
    marked: bool
    step: int


def _kind_columns() -> tuple[ColumnElement[Any], ...]:
    # Numbers written out: what is grouped by must read like what is selected.
    tokens = _REQUEST.estimated_input_tokens
    steps: list[ColumnElement[Any]] = [literal_column(str(step)) for step in reversed(PROMPT_LADDER)]
    beyond: list[tuple[ColumnElement[bool], ColumnElement[Any]]] = [(tokens > step, step) for step in steps]
    marked = case((_REQUEST.markers > literal_column("0"), literal_column("1")), else_=literal_column("0"))
    return _REQUEST.provider, _REQUEST.model, marked, case(*beyond, else_=literal_column("0"))


def _sums(*conditions: ColumnElement[bool]) -> Select[*tuple[Any, ...]]:
    kind = _kind_columns()
    tokens = (func.sum(_REQUEST.estimated_input_tokens), func.sum(_REQUEST.max_tokens))
    joined = select(*kind, *tokens).join_from(schema.request_states, schema.requests, _STATE.seq == _REQUEST.seq)
    return joined.where(*conditions).group_by(*kind)


# Each repeats the condition of a partial index word for word, so that the database recognises it.
_OF_A_BATCH: Final = (_STATE.batch_id == bindparam("batch"), _STATE.status == literal_column("'batched'"))
_BATCH: Final = _sums(*_OF_A_BATCH)
_CALLS: Final = _sums(
    _STATE.status.in_([literal_column("'fallback'"), literal_column("'calling'")]),
    _STATE.status == literal_column("'calling'"),
    _REQUEST.id != bindparam("but"),
)
_ONE: Final = _sums(_REQUEST.id == bindparam("request"))
_ITEMS: Final = (
    select(*_kind_columns(), _REQUEST.estimated_input_tokens, _REQUEST.max_tokens)
    .join_from(schema.request_states, schema.requests, _STATE.seq == _REQUEST.seq)
    .where(*_OF_A_BATCH)
    .order_by(_STATE.batch_index)
)


def batch_estimate(connection: Connection, batch_id: str, at: datetime) -> Estimate:
    """Of all open items of a batch, at the batch rates in force at `at`."""
    return _total(_Rates(connection, "batch", at), connection.execute(_BATCH, {"batch": batch_id}).all())


def calls_estimate(connection: Connection, at: datetime, *, but: str = "") -> Estimate:
    """Of the standard calls under way, but for that request's, at standard rates."""
    return _total(_Rates(connection, "standard", at), connection.execute(_CALLS, {"but": but}).all())


def request_estimate(connection: Connection, request_id: str, at: datetime) -> Estimate:
    """Of a standard call for one request."""
    return _total(_Rates(connection, "standard", at), connection.execute(_ONE, {"request": request_id}).all())


def fitting(connection: Connection, batch_id: str, at: datetime, room: int) -> int:
    """How many of a batch's first open items may cost no more than `room` together."""
    rates = _Rates(connection, "batch", at)
    count = 0
    with closing(connection.execute(_ITEMS, {"batch": batch_id})) as items:
        for *kind, tokens, most in items:
            one = rates.cost(_Kind(*kind), tokens, most)
            if one is None or one > room:
                break
            room -= one
            count += 1
    return count


class _Rates:
    """The dearest input and output rates of each kind of request, in pico-USD a token."""

    def __init__(self, connection: Connection, processing: Processing, at: datetime) -> None:
        self._connection = connection
        self._processing = processing
        self._at = at
        self._books: dict[str, PriceBook] = {}
        self._known: dict[_Kind, tuple[int, int] | None] = {}

    def cost(self, kind: _Kind, input_tokens: int, output_tokens: int) -> int | None:
        """Pico-USD, None where the model has no price."""
        if kind not in self._known:
            self._known[kind] = self._dearest(kind)
        rates = self._known[kind]
        return rates and input_tokens * rates[0] + output_tokens * rates[1]

    def _dearest(self, kind: _Kind) -> tuple[int, int] | None:
        if kind.provider not in self._books:
            self._books[kind.provider] = stored_book(self._connection, kind.provider) or PriceBook(())
        book = self._books[kind.provider]
        most_in = most_out = 0
        for region in _REGIONS:
            key = PriceKey(kind.provider, kind.model, self._processing, geo=region, prompt_over=kind.step)
            epoch = book.epoch(key, self._at)
            if epoch is None:
                return None
            rates = book.rates(key, epoch)
            most_in = max(most_in, rates.input, *((rates.write_5m, rates.write_1h) if kind.marked else ()))
            most_out = max(most_out, rates.output)
        return most_in, most_out


def _total(rates: _Rates, rows: Iterable[Sequence[Any]]) -> Estimate:
    pico = 0
    unpriced: set[str] = set()
    for *fields, tokens, most in rows:
        kind = _Kind(*fields)
        cost = rates.cost(kind, int(tokens), int(most))
        if cost is None:
            unpriced.add(kind.model)
        else:
            pico += cost
    return Estimate(pico, tuple(sorted(unpriced)))
