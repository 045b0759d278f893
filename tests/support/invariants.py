"""The invariants I1 to I7 over a ledger and what the provider knows. (I8 takes two runs, and a comparison.)

Each raises AssertionError with a message that begins with the invariant's name. The provider's own books are the
judge: a `Witness` tells what was sent to it, what it holds and what it charges.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from uuid import UUID

import msgspec

from ledger import Ledger, RecordedEvent, schema
from ledger.events import (
    BatchDuplicateDetected,
    BatchPlanned,
    BatchSubmissionStarted,
    BatchSubmitted,
    CacheUsageRecorded,
    RequestAbandoned,
    RequestBatched,
    RequestCanceled,
    RequestCostUnknown,
    RequestFailed,
    RequestRecorded,
    RequestRetryScheduled,
    RequestSucceeded,
)
from ledger.pricing import PriceBook, normalise_json, price
from ledger.verify import verify
from tests.support.witness import FakeWitness, HeldByProvider, Witness

__all__ = [
    "History",
    "check_all",
    "i1_acknowledged_events_survive",
    "i2_log_and_projections_agree",
    "i3_one_submission_per_intent",
    "i4_one_outcome_per_request",
    "i5_all_is_done",
    "i6_cost_is_the_bill",
    "i7_no_secret_is_kept",
    "within_budget",
]

Place = tuple[str, int]
"""The provider's batch id, and the index of an item in it."""


class Charge(msgspec.Struct, frozen=True):
    """What the ledger says of a billed item. `cost` in pico-USD, None if it cannot tell; `place` None for a call."""

    request: str
    place: Place | None
    role: str
    cost: int | None


class History:
    """The log, read once, as the invariants look at it."""

    def __init__(self, ledger: Ledger) -> None:
        self.events: list[RecordedEvent] = list(ledger.events())
        self.provider_ids: dict[str, str] = {}
        self.twins: set[str] = set()
        self.twins_told: set[str] = set()
        self.nonces: list[str] = []
        self.requests: dict[str, list[RecordedEvent]] = defaultdict(list)
        for event in self.events:
            kind, _, entity = event.stream_id.partition("/")
            if kind == "request":
                self.requests[entity].append(event)
            elif isinstance(event.data, BatchSubmitted):
                self.provider_ids[entity] = event.data.provider_batch_id
            elif isinstance(event.data, BatchDuplicateDetected):
                self.twins_told.add(event.data.provider_batch_id)
            elif isinstance(event.data, BatchPlanned) and event.data.twin_of is not None:
                self.twins.add(entity)
            elif isinstance(event.data, BatchSubmissionStarted) and entity not in self.twins:
                self.nonces.append(event.data.nonce)
        self.statuses = _statuses(ledger)

    def charges(self, book: PriceBook) -> Iterator[Charge]:
        """Everything that is on record as billed, or as perhaps billed."""
        for request, events in self.requests.items():
            place: Place | None = None
            for event in events:
                data = event.data
                if isinstance(data, RequestSucceeded | RequestFailed):
                    place = self._place(data.batch_id, data.batch_index)
                elif isinstance(data, CacheUsageRecorded):
                    yield Charge(request, self._place(data.batch_id, data.batch_index), data.role, _cost(book, data))
                elif isinstance(data, RequestCostUnknown):
                    named = data.batch_id is not None
                    yield Charge(
                        request, self._place(data.batch_id, data.batch_index) if named else place, "unknown", None
                    )

    def _place(self, batch_id: str | None, index: int | None) -> Place | None:
        if batch_id is None or index is None:
            return None
        return (self.provider_ids[batch_id], index)


def check_all(
    ledger: Ledger,
    witness: Witness,
    *,
    acknowledged: Mapping[int, UUID] = {},
    secrets: Iterable[str] = (),
    logged: Iterable[str] = (),
    twins: bool = True,
    history: History | None = None,
    sound: Callable[[Ledger], Sequence[str]] | None = None,
) -> None:
    """I1 to I4, I6 and I7. `twins` False where nothing happened that could make one: then there must be none.

    `sound` says what is wrong with log and projections; by default `ledger.verify` does. `history`
    is the log, if it was read already.
    """
    history = history or History(ledger)
    i1_acknowledged_events_survive(history, acknowledged)
    i2_log_and_projections_agree(ledger, sound)
    i3_one_submission_per_intent(history, witness, twins=twins)
    i4_one_outcome_per_request(history)
    i6_cost_is_the_bill(history, witness)
    i7_no_secret_is_kept(ledger, secrets, logged)


def i1_acknowledged_events_survive(history: History, acknowledged: Mapping[int, UUID]) -> None:
    """What a caller was told to be stored (event ids by position) stands there."""
    stored = {event.position: event.event_id for event in history.events}
    lost = {at: str(event_id) for at, event_id in acknowledged.items() if stored.get(at) != event_id}
    assert not lost, f"I1: acknowledged events are not in the log: {lost}"


def i2_log_and_projections_agree(ledger: Ledger, sound: Callable[[Ledger], Sequence[str]] | None = None) -> None:
    """The log is gapless and chained, and the projections are what it folds to."""
    problems = sound(ledger) if sound is not None else verify(ledger.database).problems
    assert not problems, f"I2: {list(problems)}"


def i3_one_submission_per_intent(history: History, witness: Witness, *, twins: bool = True) -> None:
    """No intent was sent twice; every batch of ours at the provider is on record; nobody else's was touched."""
    again = {nonce: count for nonce, count in Counter(history.nonces).items() if count > 1}
    assert not again, f"I3: a nonce serves two intents: {again}"
    posted = {nonce: count for nonce, count in witness.posts().items() if count > 1}
    assert not posted, f"I3: an intent was sent more than once: {posted}"
    ours, adopted = set(history.nonces), Counter(history.provider_ids.values())
    for held in witness.batches():
        if _nonces(held) & ours:
            known = held.id in adopted or held.id in history.twins_told
            assert known, f"I3: nobody found {held.id}, a batch of ours at the provider"
        elif held.custom_ids:
            assert held.id not in adopted, f"I3: a stranger's batch {held.id} was adopted"
            assert not held.canceled, f"I3: a stranger's batch {held.id} was canceled"
    assert not adopted or max(adopted.values()) == 1, f"I3: one batch of the provider's is two of ours: {adopted}"
    assert twins or not history.twins_told, f"I3: a second batch for one intent: {history.twins_told}"


def i4_one_outcome_per_request(history: History) -> None:
    """The first terminal outcome stands, nothing begins after it, and one answer at most is the result.

    A retry by hand opens a request anew.
    """
    for request, events in history.requests.items():
        end: str | None = None
        results = 0
        for event in events:
            data = event.data
            if isinstance(data, RequestRetryScheduled) and data.by_hand and end != "succeeded":
                end = None
            if end is not None and isinstance(data, _BEGINNINGS):
                raise AssertionError(f"I4: request {request} was {end}, then came {event.type}")
            results += isinstance(data, CacheUsageRecorded) and data.role == "result"
            end = end or _end(data)
        assert results <= 1, f"I4: request {request} has {results} results"
        status = history.statuses[request]
        assert status == (end or status), f"I4: request {request} ended as {end}, and is {status}"


def i5_all_is_done(history: History) -> None:
    """Every request has an outcome. (That it came within a bounded number of ticks is for whoever counts them.)"""
    pending = Counter(status for status in history.statuses.values() if status not in _TERMINAL)
    assert not pending, f"I5: requests without an outcome: {dict(pending)}"


def i6_cost_is_the_bill(history: History, witness: Witness) -> None:
    """What the ledger says was paid is what the provider charges, but for what it lists as unknown or unpriced.

    Where the provider tells item by item, those must make up exactly the difference.
    """
    charges = list(history.charges(PriceBook.packaged()))
    twice = [place for place, count in Counter(one.place for one in charges if one.place).items() if count > 1]
    assert not twice, f"I6: charged more than once: {twice}"
    cost = sum(one.cost or 0 for one in charges)
    untold = {one.place for one in charges if one.place and one.cost is None}
    left = 0
    for held in witness.batches():
        if held.items is None:
            left += held.bill if any(place[0] == held.id for place in untold) else 0
            continue
        told = {one.place[1]: one.cost for one in charges if one.place and one.place[0] == held.id}
        for custom_id, bill in held.items.items():
            index = int(custom_id.rpartition("-")[2])
            assert index in told, f"I6: item {index} of {held.id} was billed, and the ledger knows nothing of it"
            assert told[index] in (None, bill), f"I6: item {index} of {held.id} cost {bill}, not {told[index]}"
            left += bill if told[index] is None else 0
        billed = {int(custom_id.rpartition("-")[2]) for custom_id in held.items}
        invented = sorted(index for index, item in told.items() if item is not None and index not in billed)
        assert not invented, f"I6: items {invented} of {held.id} were never billed"
    left += _unknown_calls(history, charges, witness)
    if all(held.items is not None for held in witness.batches()) or not untold:
        assert cost == witness.bill() - left, f"I6: the ledger says {cost}, the bill {witness.bill()} less {left}"
    else:
        assert witness.bill() - left <= cost <= witness.bill(), f"I6: the ledger says {cost} of {witness.bill()}"


def i7_no_secret_is_kept(ledger: Ledger, secrets: Iterable[str], logged: Iterable[str] = ()) -> None:
    """No secret stands in any text or bytes of the database, nor in what was logged."""
    wanted = list(secrets)
    if not wanted:
        return
    for line in logged:
        assert not any(secret in line for secret in wanted), "I7: a secret was logged"
    for table in schema.metadata.tables.values():
        with ledger.read() as connection:
            rows = connection.exec_driver_sql(f"SELECT * FROM {table.name}").cursor.fetchall()
        text = repr(rows)
        assert not any(secret in text for secret in wanted), f"I7: a secret stands in {table.name}"


def within_budget(history: History, witness: FakeWitness, budget: int, *, batches: int, calls: int) -> None:
    """What was sent under a budget (the first so many batches and calls) never cost more than that, in pico-USD.

    Not counted is what the ledger lists as unknown, and so could not count either. Only for a story without twins,
    in which nothing costs more than was estimated.
    """
    charges = list(history.charges(PriceBook.packaged()))
    costs = {one.place: one.cost or 0 for one in charges if one.place is not None}
    paid = 0
    for held in witness.batches()[:batches]:
        for custom_id in held.items or ():
            paid += costs[held.id, int(custom_id.rpartition("-")[2])]
    made = sum(witness.call_costs()[:calls])
    paid += made - min(made, _unknown_calls(history, charges, witness))
    assert paid <= budget, f"the budget was {budget}, what was sent within it cost {paid}"


_TERMINAL = frozenset({"succeeded", "errored", "canceled", "abandoned"})
_BEGINNINGS = (RequestBatched, RequestRetryScheduled, RequestSucceeded, RequestAbandoned)


def _end(data: object) -> str | None:
    """The terminal status that an event brings about, None if it is not the end."""
    if isinstance(data, RequestFailed):
        return None if data.retryable else "errored"
    ends = {RequestSucceeded: "succeeded", RequestCanceled: "canceled", RequestAbandoned: "abandoned"}
    return ends.get(type(data))  # type: ignore[call-overload, no-any-return]


def _statuses(ledger: Ledger) -> dict[str, str]:
    query = "SELECT r.id, s.status FROM requests r JOIN request_states s ON s.seq = r.seq"
    with ledger.read() as connection:
        return dict(connection.exec_driver_sql(query).cursor.fetchall())


def _nonces(held: HeldByProvider) -> set[str]:
    return {custom_id.rpartition("-")[0] for custom_id in held.custom_ids}


def _cost(book: PriceBook, data: CacheUsageRecorded) -> int | None:
    """What the usage costs, in pico-USD; None without a price."""
    total = 0
    entries = normalise_json(
        provider=data.provider, model=data.model, processing=data.processing, usage=bytes(data.usage)
    )
    for entry in entries:
        epoch = book.epoch(entry.key, data.billed_at)
        if epoch is None:
            return None
        rates, standard = book.rates(entry.key, epoch), book.standard_rates(entry.key, epoch)
        total += price(entry.tokens, rates, standard, role="result").actual
    return total


def _unknown_calls(history: History, charges: Sequence[Charge], witness: Witness) -> int:
    """What the standard calls cost whose cost the ledger does not know, in pico-USD."""
    of_params = {
        event.data.payload: request
        for request, events in history.requests.items()
        for event in events
        if isinstance(event.data, RequestRecorded)
    }
    left = 0
    for params, (many, cost) in witness.calls().items():
        request = of_params[params]
        told = [one for one in charges if one.request == request and one.place is None]
        known = sum(one.cost is not None for one in told)
        assert known <= many <= len(told), f"I6: request {request} was answered {many} times by call, told: {told}"
        left += (many - known) * cost
    return left
