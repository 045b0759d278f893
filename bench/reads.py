"""Read latencies: the functions that the command line calls, on random ids, in a warm process."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from datetime import timedelta
from functools import partial
from random import Random
from statistics import quantiles
from typing import Any, Final

import msgspec

from bench.alone import alone
from bench.filled import Filled
from bench.results import ReadLatency
from bench.workload import START
from ledger import Ledger, queries
from ledger.savings import Period
from ledger.summary import savings

__all__ = ["read_latencies"]

WARM_UP: Final = 30
SLOW_SECONDS: Final = 60.0
"""A query that is slow is asked less often: after so long no more."""

PAGE: Final = 100

Query = Callable[[], object]


class _Reading(msgspec.Struct, frozen=True):
    filled: Filled
    samples: int


def read_latencies(filled: Filled, samples: int) -> list[ReadLatency]:
    """p50 and p95 of every query over so many random ids."""
    return alone(_measure, _Reading(filled, samples))


def _measure(reading: _Reading) -> list[ReadLatency]:
    random = Random(1)
    count = WARM_UP + reading.samples
    with Ledger.open(reading.filled.url) as ledger:
        return [_latency(name, asked, reading) for name, asked in _queries(ledger, random, count).items()]


def _latency(name: str, asked: Sequence[Query], reading: _Reading) -> ReadLatency:
    for query in asked[:WARM_UP]:
        query()
    took: list[float] = []
    began = time.perf_counter()
    for query in asked[WARM_UP:]:
        start = time.perf_counter()
        query()
        took.append(1000 * (time.perf_counter() - start))
        if time.perf_counter() - began > SLOW_SECONDS and len(took) > 1:
            break
    cuts = quantiles(took, n=20, method="inclusive")
    return ReadLatency(name, reading.filled.events, cuts[9], cuts[18], len(took))


def _queries(ledger: Ledger, random: Random, count: int) -> dict[str, list[Query]]:
    from ledger.costs import with_costs
    from llm_ledger.cli.explain import explain

    head = ledger.head().position
    places = [random.randrange(head * 9 // 10) for _ in range(count)]
    requests = [next(queries.requests(ledger, after=place, limit=1)).id for place in places]
    known = [row.id for row in queries.batches(ledger)]
    batches = random.choices(known, k=count)
    months = [_month(random) for _ in range(count)]

    def page(place: int) -> Any:
        return list(with_costs(ledger, queries.requests(ledger, after=place, limit=PAGE)))

    def raw_page(place: int) -> Any:
        return list(queries.stored_events(ledger, after=place, limit=PAGE))

    def rows(place: int) -> Any:
        return list(queries.requests(ledger, after=place, limit=PAGE))

    return {
        "savings": [partial(savings, ledger, Period())] * count,
        "savings of a month": [partial(savings, ledger, month) for month in months],
        "savings of a month by model": [partial(savings, ledger, month, "model") for month in months],
        "savings of a month by day": [partial(savings, ledger, month, "day") for month in months],
        "savings by tag:team": [partial(savings, ledger, Period(), "tag:team")] * count,
        "request by id": [partial(queries.find_request, ledger, one) for one in requests],
        "request by id, explained (`show`)": [partial(explain, ledger, one) for one in requests],
        "batch by id": [partial(queries.batch, ledger, one) for one in batches],
        "page of 100 requests": [partial(rows, place) for place in places],
        "page of 100 requests with costs": [partial(page, place) for place in places],
        "page of 100 events": [partial(raw_page, place) for place in places],
        "what is outstanding": [partial(queries.outstanding, ledger)] * count,
    }


def _month(random: Random) -> Period:
    since = START + timedelta(days=random.randrange(330), hours=random.randrange(24))
    return Period(since, since + timedelta(days=30))
